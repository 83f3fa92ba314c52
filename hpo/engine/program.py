"""The program and the knobs of a training: the compiled code, and the numbers passed to it.

Two trainings share a program if only their knobs differ. Inside a compiled program, the knobs of a
spec are traced arrays. So a model or an optimizer reads `spec.learning_rate` and does not know
about lanes. A *merged* program also serves several values of static leaves: such a leaf is a
`OneOf`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.labels import BLANK, label_of
from hpo.engine.oneof import OneOf, number_of
from hpo.spec.code.own_model import OwnModel
from hpo.spec.experiment import Training
from hpo.spec.marks import Fixed, Mark, Spec, has_leaf, leaf_at, marked_leaves, with_leaves
from hpo.spec.merging import Merged, UpTo, served, size_paths
from hpo.spec.registered import needs_of, title_of
from hpo.spec.sections.compression.teacher import Teacher
from hpo.spec.sections.data import POSITION_AXES, Task
from hpo.spec.sections.optimizer import Constant

if TYPE_CHECKING:
    from jaxtyping import Array, Float

# Every schedule depends on it, so it is a knob of each program.
_EPOCHS = "train.epochs"
_BATCH, _OPTIMIZER, _SCHEDULE = "data.batch_size", "optimizer", "optimizer.schedule"
# Replaces the schedule inside an optimizer, because the schedule is merged as a part of its own.
_NO_SCHEDULE = Constant(name="constant", warmup=0.0)
# The values in a template of the leaves on which no compiled code depends.
_NEUTRAL = {
    "train.seed": 0,
    "train.seeds": 1,
    "train.judged_by": "mean",
    "train.stream": 0,
    "train.lanes": 1,
    "train.form": "auto",
    "train.merged": "none",
    "train.until": None,
    "train.early_stop": None,
    "train.keep": "last",
    "train.schedules": Fixed(),
    "train.changes": (),
    "train.varying": (),
    _EPOCHS: BLANK,
}


@dataclass(frozen=True)
class Program:
    """Everything that decides compiled code; trials of equal programs train as lanes of one pool.

    `template` is a training with blank knobs, and `knobs` are the paths of all knobs. `merged`
    lists the paths (of leaves or parts) with several values, and these values with blank knobs. The
    knob of such a path is the index of the trial's value. A model trains in arrays of the smallest
    of the `bounds` that its widest layer does not exceed. With folds, `train_rows` are those of the
    largest training split. `judged_rows` are those of the largest validation split, 0 without.
    With `own_steps` a trial has
    its own number of steps, because it trains on a share of the rows.
    `scales` is the shape of the numbers by which a lane scales images; empty if they come scaled.
    """

    template: Training
    knobs: tuple[str, ...]
    merged: tuple[tuple[str, tuple[Any, ...]], ...]
    bounds: tuple[int, ...]
    platform: str  # "cpu", "gpu" or "tpu": convolutions take another form on CPU
    task: Task
    example_shape: tuple[int, ...]
    outputs: int
    train_rows: int
    judged_rows: int = 0
    own_steps: bool = False
    reads_extra: bool = False  # its trials may read extra rows, so their order is their own
    scales: tuple[int, ...] = ()
    example_type: str = "float32"
    vocabulary: int = 0  # of examples that are tokens
    embedding_size: int = 0  # of the loaded vector of each token
    categories: tuple[int, ...] = ()  # the codes of each of the first columns, which hold codes
    numbers: int | None = None  # of the features after codes, if the model asks
    hints: int = 0  # the features of a teacher to which a map of the model's own is trained

    @property
    def positions(self) -> tuple[int, ...]:
        """The sizes of the axes of an example whose every position has a class; mostly none."""
        return self.example_shape[: POSITION_AXES.get(self.task, 0)]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of a model's outputs for one example."""
        return (*self.positions, self.outputs)

    @cached_property
    def model(self) -> Any:
        """The model's spec; its merged leaves are `OneOf`."""
        leaves = {
            path: options[0] if isinstance(options[0], UpTo) else OneOf(options)
            for path, options in self.merged
            if path.startswith("model.")
        }
        return with_leaves(self.template, leaves).model

    @cached_property
    def model_key(self) -> str:
        """Equal for programs whose models have the same arrays."""
        # Knobs and the activation change no array: a model gets them when it is called.
        plain = {
            path: None for path, mark, _ in marked_leaves(self.model) if mark is not Mark.STATIC
        }
        is_own = isinstance(self.model, OwnModel)
        if not is_own and has_leaf(self.model, "activation"):
            plain["activation"] = None
        precision = self.template.train.precision
        shapes = self.example_shape, self.outputs, self.platform, precision
        # Files of the same name in two folders, or before and after an edit, are other code.
        code = (self.model.own.code,) if is_own else ()
        tokens = (self.positions, self.vocabulary) if self.positions or self.vocabulary else ()
        loaded = (self.embedding_size,) if self.embedding_size else ()
        numbers = () if self.numbers is None else (self.numbers,)
        small = self.template.compression
        rounded = () if small.activations.bits is None else ("rounded", small.activations.name)
        steps = (small.weights.scales,) if small.weights.name == "learned" else ()
        hints = ("hints", self.hints) if self.hints else ()
        more = (*code, *tokens, *loaded, *self.categories, *numbers, *rounded, *steps, *hints)
        return repr((with_leaves(self.model, plain), *shapes, *more))

    @cached_property
    def optimizer(self) -> Any:
        """The optimizer's spec, or a `OneOf` of several."""
        options = dict(self.merged).get(_OPTIMIZER)
        return self.template.optimizer if options is None else OneOf(options)

    @cached_property
    def micro_batch(self) -> int:
        """The rows that a step processes at once: a batch, or a part of all batch sizes."""
        return math.gcd(*self._batch_sizes)

    @cached_property
    def order_shape(self) -> tuple[int, int]:
        """The number of micro-batches in the longest epoch, and the rows of each."""
        most = max(self.steps(size) * self.parts(size) for size in self._batch_sizes)
        return most, self.micro_batch

    @property
    def most_parts(self) -> int:
        """The number of micro-batches in the largest batch."""
        return max(self._batch_sizes) // self.micro_batch

    def narrow(self, bound: int) -> Program:
        """The same program for models whose layers are at most `bound` wide."""

        def capped(size: Any) -> Any:
            if isinstance(size, UpTo):
                return size.below(bound)
            if isinstance(size, tuple):
                return tuple(min(width, bound) for width in size)
            return min(size, bound)

        merged = tuple(
            (path, tuple(map(capped, options)) if path in size_paths() else options)
            for path, options in self.merged
        )
        return replace(self, merged=merged, bounds=())

    def bound_index(self, knobs: Float[Array, " K"]) -> Any:
        """The index of the first of the `bounds` that the model does not exceed; their number if
        none.
        """
        path = next(path for path, _ in self.merged if path in size_paths())
        leaf = leaf_at(self.fill(knobs), path)
        if isinstance(leaf, UpTo):
            return (leaf.own.max() > jnp.array(self.bounds)).sum()
        return number_of(leaf, lambda size: sum(largest(size) > bound for bound in self.bounds))

    def steps(self, batch_size: Any) -> Any:
        """The steps of an epoch with that batch size; the last partial batch is dropped."""
        return number_of(batch_size, lambda size: self.train_rows // size)

    def parts(self, batch_size: Any) -> Any:
        """The micro-batches of a step with that batch size."""
        return number_of(batch_size, lambda size: size // self.micro_batch)

    @cached_property
    def label(self) -> str:
        """A short name that is the same in every process and release."""
        return label_of(self)

    def __str__(self) -> str:
        """A description by the values in which programs of a study differ."""
        merged = dict(self.merged)
        schedule = self.template.optimizer.schedule
        parts = {"optimizer": self.template.optimizer.name, "optimizer.schedule": schedule.name}
        leaves = {
            path: value
            for path, mark, value in marked_leaves(self.template)
            if mark is Mark.STATIC
            and not path.startswith("optimizer.")
            and (path, value) != ("sampling.name", "uniform")
        }
        if self.template.loss is not None:
            parts["loss"] = title_of(self.template.loss)
        own = [
            f"{path.rpartition('.')[2]} {list(value) if isinstance(value, tuple) else value}"
            for path, value in (leaves | parts).items()
            if path not in merged
        ]
        served = [
            f"{path} up to {list(options[0].sizes)}"
            if isinstance(options[0], UpTo)
            else f"{len(options)} of {path}"
            for path, options in merged.items()
        ]
        apart = [f"sizes up to {bound} apart" for bound in self.bounds]
        return ", ".join([title_of(self.template.model), *own, *served, *apart])

    def fill(self, knobs: Float[Array, " K"]) -> Training:
        """The training with its knobs filled in, traced or not; merged leaves are `OneOf`.

        Merged optimizers all have the trial's learning rate and schedule.
        """
        values = {path: knobs[i] for i, path in enumerate(self.knobs)}
        training = with_leaves(_filled(self.template, "", values), {_EPOCHS: values[_EPOCHS]})
        for path, options in self.merged:  # inner parts come before outer ones
            if isinstance(options[0], UpTo):
                training = with_leaves(training, {path: _own_sizes(options[0], path, values)})
                continue
            filled = [_filled(option, path, values) for option in options]
            if path == _OPTIMIZER:
                schedule = {"schedule": leaf_at(training, _SCHEDULE)}
                filled = [with_leaves(option, schedule) for option in filled]
            one = OneOf(tuple(filled), jnp.asarray(values[path], jnp.int32))
            training = with_leaves(training, {path: one})
        return training

    def of_its_own(self, training: Training) -> Program:
        """The program of the model of `training` alone, with nothing merged."""
        leaves = {path: leaf_at(training, path) for path, _ in self.merged}
        model = {path: leaf for path, leaf in leaves.items() if path.startswith("model.")}
        return replace(self, template=with_leaves(self.template, model), merged=(), bounds=())

    @property
    def _batch_sizes(self) -> tuple[int, ...]:
        return dict(self.merged).get(_BATCH, (self.template.data.batch_size,))


def split(
    training: Training, data: DataSet, platform: str, varying: Set[str] = frozenset()
) -> tuple[Program, np.ndarray]:
    """The program of `training` on `data` and its knobs, float32 `[K]`.

    A knob that is 0 stays a constant, unless `varying` or `training.train.varying` lists it. The
    program then leaves out the part that it scales (dropout, a penalty). A leaf that
    `training.train.merged` lists is merged if the training's own value is in the list.
    """
    varying = varying | {*training.train.varying, *training.train.schedules}
    template = with_leaves(_blank(training, "", varying), _NEUTRAL)
    knobs: dict[str, float] = {_EPOCHS: training.train.epochs, **_knobs(training, template, "")}
    merged = []
    for path, values in served(training).items():
        options = tuple(dict.fromkeys(template_of(value, path, varying) for value in values))
        own = _alone(leaf_at(training, path))
        if options and isinstance(options[0], UpTo):
            if options[0].holds(own):
                merged.append((path, options))
                knobs |= {path: len(own)} | {
                    f"{path}.{layer}": own[min(layer, len(own) - 1)]
                    for layer in range(len(options[0].sizes))
                }
                template = with_leaves(template, {path: options[0].sizes})
            continue
        index = next((i for i, option in enumerate(options) if _is_a(own, option)), None)
        if index is None or len(options) == 1:
            continue
        merged.append((path, options))
        for option in options:
            knobs = {**dict.fromkeys(_blank_paths(option, path), 0.0), **knobs}
        knobs |= {**_knobs(own, options[index], path), path: index}
        first = options[0]
        if path == _OPTIMIZER:
            first = with_leaves(first, {"schedule": template.optimizer.schedule})
        template = with_leaves(template, {path: _NO_SCHEDULE if path == _SCHEDULE else first})
    paths = sorted(knobs)
    program = Program(
        template=template,
        knobs=tuple(paths),
        merged=tuple(merged),
        bounds=_bounds(training, merged),
        platform=platform,
        task=data.task,
        example_shape=data.train.example_shape,
        outputs=data.outputs,
        train_rows=max(len(one.train) for one in data.members),
        scales=() if data.train.scale is None else data.train.scale[0].shape,
        own_steps=training.sampling.share != 1 or "sampling.share" in varying,
        reads_extra=data.extra is not None
        and (training.sampling.extra_share != 0 or "sampling.extra_share" in varying),
        judged_rows=max(len(fold.validation) for fold in data.folds) if data.folds else 0,
        example_type=data.train.example_type,
        vocabulary=data.vocabulary,
        embedding_size=data.embedding_size,
        categories=data.categories,
        numbers=data.numbers if "numbers" in needs_of("model", training.model) else None,
        hints=_hints(template.compression.teacher, data),
    )
    return program, np.array([knobs[path] for path in paths], np.float32)


def _hints(teacher: Teacher, data: DataSet) -> int:
    """The features of the networks of a teacher, if the loss of a template compares them."""
    is_compared = getattr(teacher, "from") is not None and teacher.match != "logits"
    if not is_compared or is_off(teacher.weight):
        return 0
    return sum(network.features for network in data.teacher)


def _bounds(training: Training, merged: Sequence[tuple[str, tuple[Any, ...]]]) -> tuple[int, ...]:
    """The listed bounds that are below the largest merged size."""
    sizes = [size for path, options in merged if path in size_paths() for size in options]
    most = max(map(largest, sizes), default=0)
    listed = training.train.merged
    bounds = listed.bounds if isinstance(listed, Merged) else ()
    return tuple(bound for bound in bounds if bound < most)


def largest(size: int | tuple[int, ...] | UpTo) -> int:
    """The width of the widest layer, from a model's `widths` or `dense`."""
    size = size.sizes if isinstance(size, UpTo) else size
    return max(size, default=0) if isinstance(size, tuple) else size


def template_of(part: Any, path: str, varying: Set[str]) -> Any:
    """A part, or a leaf, with blank knobs: equal for all values that share a program."""
    return _blank(_alone(part), path, varying)


def is_off(knob: Any) -> bool:
    """Whether a knob is the constant 0, so that the part that it scales can be left out."""
    return isinstance(knob, int | float) and knob == 0


def _alone(part: Any) -> Any:
    """An optimizer without its schedule, which is a part of its own; other parts unchanged."""
    has_schedule = isinstance(part, Spec) and "schedule" in type(part).model_fields
    return with_leaves(part, {"schedule": _NO_SCHEDULE}) if has_schedule else part


def _blank(part: Any, path: str, varying: Set[str]) -> Any:
    """A part, or a leaf, of a training with blank knobs and without leaves of the host."""
    if not isinstance(part, Spec):
        return part
    prefix = f"{path}." if path else ""
    blank: dict[str, float | None] = {}
    for inner, mark, value in marked_leaves(part):
        if mark in (Mark.HOST, Mark.SHORTHAND):
            blank[inner] = None
        elif mark is Mark.KNOB and value is not None and (value != 0 or prefix + inner in varying):
            blank[inner] = BLANK
    return with_leaves(part, blank)


def _blank_paths(template: Any, path: str) -> list[str]:
    """The full paths of the blank knobs of a part."""
    if not isinstance(template, Spec):
        return []
    prefix = f"{path}." if path else ""
    return [
        prefix + inner
        for inner, mark, value in marked_leaves(template)
        if mark is Mark.KNOB and value == BLANK
    ]


def _knobs(part: Any, template: Any, path: str) -> dict[str, float]:
    """The values of the knobs that the template of a part leaves blank, by their full paths."""
    return {
        full: leaf_at(part, full.removeprefix(f"{path}.")) for full in _blank_paths(template, path)
    }


def _own_sizes(served: UpTo, path: str, values: Mapping[str, Any]) -> UpTo:
    """The sizes of a trial's layers from its knobs, traced or not."""
    own = [values[f"{path}.{layer}"] for layer in range(len(served.sizes))]
    depth = jnp.asarray(values[path], jnp.int32)
    return replace(served, own=jnp.asarray(own, jnp.int32), depth=depth)


def _filled(template: Any, path: str, values: Mapping[str, Any]) -> Any:
    """A template with its knobs filled in."""
    if not isinstance(template, Spec):
        return template
    paths = _blank_paths(template, path)
    return with_leaves(template, {full.removeprefix(f"{path}."): values[full] for full in paths})


def _is_a(own: Any, template: Any) -> bool:
    """Whether filling in the knobs of a template can give this part."""
    if not isinstance(template, Spec) or type(own) is not type(template):
        return own == template
    return all(
        mark is Mark.HOST or (value is not None if blank == BLANK else value == blank)
        for (_, mark, value), (_, _, blank) in zip(
            marked_leaves(own), marked_leaves(template), strict=True
        )
    )
