"""Chooses the leaves that a study merges, by estimated costs, before its first trial.

A merged program is compiled once instead of once for each value, but runs somewhat slower. The best
choice depends on the space, the number of trials and how long they train.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hpo.engine.models.sizes import Size, model_size
from hpo.engine.oneof import OneOf, options_of
from hpo.engine.program import Program, largest, template_of
from hpo.engine.programs.costs import COMPILING_CORES, Costs
from hpo.space import Choice, Dimension, Int, NothingAllowedError, SearchSpace
from hpo.spec.code.own_model import OwnModel
from hpo.spec.experiment import Training
from hpo.spec.fill import fill, with_rows
from hpo.spec.marks import Mark, Spec, leaf_at, marked_leaves, with_leaves
from hpo.spec.merging import (
    NOTHING,
    WIDTHS,
    Merged,
    Merging,
    UpTo,
    how_merged,
    mergeable,
    served,
    size_paths,
    sizes_of,
)
from hpo.spec.programs import static_leaves

# The number of draws from the space by which mergings are compared.
_DRAWS = 64
# A leaf with more values is not merged, because the program contains the list of values.
_MOST_VALUES = 64
# Merging must save this share of the time, because the results of a merged trial differ in the last
# bits from those of the same configuration trained unmerged.
_SAVING = 0.1
# The field of `Merged` that lists widths, and the smallest bound on widths that are not listed.
_WIDTHS_FIELD, _LEAST_POWER = "widths", 4


@dataclass(frozen=True)
class Estimate:
    """The estimated number of programs that a study compiles, and its estimated time."""

    programs: float
    compile_seconds: float
    train_seconds: float
    pools: int

    @property
    def seconds(self) -> float:
        """The estimated time of the study, with a core for each pool."""
        cores = min(self.pools, COMPILING_CORES * max(1.0, self.programs))
        return self.compile_seconds / max(1.0, cores) + self.train_seconds / self.pools


@dataclass(frozen=True)
class Decision:
    """A merging, its estimate, and the estimate without merging (`apart`)."""

    merging: Merging
    estimate: Estimate
    apart: Estimate

    def sentence(self) -> str:
        """The decision and its reason, for `--explain`."""
        merged = self.merging.merged
        fields = [
            field.replace("_", " ")
            for field in mergeable()
            if getattr(merged, field) or (field == _WIDTHS_FIELD and merged.widest)
        ]
        if not fields:
            return f"Every shape has a program of its own: about {_cost(self.apart)}."
        bounds = " and ".join(map(str, merged.bounds))
        apart = f" (sizes up to {bounds} in arrays of their own)" if bounds else ""
        return (
            f"Programs merge {', '.join(fields)}{apart}: about {_cost(self.estimate)}, instead "
            f"of {_cost(self.apart)}."
        )


def _cost(estimate: Estimate) -> str:
    count = round(estimate.programs)
    return f"{count:,} program{'' if count == 1 else 's'} and {estimate.seconds:,.0f} s"


def decide(
    training: Training,
    space: SearchSpace,
    example_shape: Sequence[int],
    outputs: int,
    rows: int,
    trials: int,
    epochs: float,
    pools: int,
    costs: Costs,
    cohort: int = 1,
    vocabulary: int = 0,
    categories: Sequence[int] = (),
    embedding_size: int = 0,
) -> Decision:
    """The merging with the least estimated time for `trials` trials of `epochs` epochs each.

    `cohort` consecutive trials have the same shape.
    """
    rng, shapes = np.random.default_rng(training.train.seed), math.ceil(trials / cohort)
    drawn: list[Training] = []
    with suppress(NothingAllowedError):  # few allowed configurations are few shapes
        for _ in range(min(shapes, _DRAWS)):
            drawn.append(with_rows(fill(training, space.draw(rng), 0), rows))
    drawn = drawn or [with_rows(training, rows)]
    sizes = partial(
        model_size,
        example_shape=example_shape,
        outputs=outputs,
        vocabulary=vocabulary,
        categories=categories,
        embedding_size=embedding_size,
    )
    study = _Study(drawn, sizes, rows, trials, shapes, epochs, pools, costs)
    values = _values(drawn, space, rows)
    apart = study.estimate(NOTHING)
    best = Decision(NOTHING, apart, apart)
    bar = apart.seconds * (1 - _SAVING)
    bounds = _bounds(values)
    candidates = _everything(values, bounds)
    while candidates:
        estimates = [(study.estimate(merging), merging) for merging in candidates]
        estimate, merging = min(estimates, key=lambda pair: pair[0].seconds)
        if estimate.seconds >= min(bar, best.estimate.seconds):
            break
        best = Decision(merging, estimate, apart)
        candidates = _neighbours(merging.merged, bounds)
    return best


def _bounds(values: Merged) -> tuple[int, ...]:
    """The largest size up to each power of two, except the largest size of all."""
    listed = [getattr(values, field) for field, path in mergeable().items() if path in size_paths()]
    sizes = sorted({largest(size) for found in listed for size in found} | _powers(values.widest))
    return tuple(
        size
        for size, above in itertools.pairwise(sizes)
        if (size - 1).bit_length() < (above - 1).bit_length()
    )


def _powers(widest: Sequence[int]) -> set[int]:
    """The powers of two among widths that are not listed, and the largest of these widths."""
    most = max(widest, default=0)
    return {most, *(2**power for power in range(_LEAST_POWER, most.bit_length()))} - {0}


def _everything(values: Merged, bounds: tuple[int, ...]) -> list[Merging]:
    """Mergings of all leaves with several values: without bounds, with each one, and with all."""
    several = {field: getattr(values, field) for field in mergeable()}
    several = {field: found for field, found in several.items() if len(found) > 1}
    several |= {"widest": values.widest} if values.widest else {}
    if not several:
        return []
    choices = dict.fromkeys([(), *((bound,) for bound in bounds), bounds])
    return [_merging(several, each) for each in choices]


def _neighbours(merged: Merged, bounds: tuple[int, ...]) -> list[Merging]:
    """The mergings with one leaf fewer, one bound more or one bound fewer."""
    values = {field: getattr(merged, field) for field in (*mergeable(), "widest")}
    fewer = [{**values, field: ()} for field, found in values.items() if found]
    other = [tuple(b for b in bounds if (b in merged.bounds) != (b == moved)) for moved in bounds]
    return [_merging(each, merged.bounds) for each in fewer if any(each.values())] + [
        _merging(values, each) for each in other
    ]


def _merging(values: Mapping[str, tuple[Any, ...]], bounds: tuple[int, ...]) -> Merging:
    has_sizes = any(values.get(f) for f, path in mergeable().items() if path in size_paths())
    has_sizes = has_sizes or bool(values.get("widest"))
    return Merging(Merged(**values, bounds=bounds if has_sizes else ()))


def estimated_seconds(program: Program) -> tuple[float, float]:
    """The estimated seconds to compile a program, and to train a micro-batch of it."""
    # The measured time of a micro-batch is a minimum, so it is that of the narrowest models.
    model = program.narrow(program.bounds[0]).model if program.bounds else program.model
    size = model_size(
        model,
        program.example_shape,
        program.outputs,
        program.vocabulary,
        program.categories,
        program.embedding_size,
    )
    compiling = Costs().compile_seconds(
        *_layers(program.model), len(program.merged), len(program.bounds)
    )
    parts = program.most_parts
    gradients = program.template.updates.gradients
    step = Costs().step_seconds(size, parts * program.micro_batch, parts, gradients)
    return compiling / COMPILING_CORES, step / parts


class _Study:
    """Estimates a study from a sample of its trainings."""

    def __init__(
        self,
        drawn: Sequence[Training],
        size_of: Callable[[Any], Size],
        rows: int,
        trials: int,
        shapes: int,
        epochs: float,
        pools: int,
        costs: Costs,
    ) -> None:
        self._drawn, self._size_of = drawn, size_of
        self._rows, self._trials, self._shapes, self._epochs = rows, trials, shapes, epochs
        self._pools, self._costs = pools, costs
        self._statics = [dict(static_leaves(training)) for training in drawn]

    def estimate(self, merging: Merging) -> Estimate:
        """The estimate of the study with a merging."""
        groups: dict[Any, list[Training]] = {}
        for training, statics in zip(self._drawn, self._statics, strict=True):
            groups.setdefault(_group(training, statics, merging), []).append(training)
        train = compiling = 0.0
        for members in groups.values():
            listed = served(merging.of(members[0]))
            count = sum(len(values) > 1 or _is_up_to(values) for values in listed.values())
            bounds = merging.merged.bounds
            layers = _layers(_widest(members[0], listed, math.inf))
            compiling += self._costs.compile_seconds(*layers, count, len(bounds))
            batches = listed.get(mergeable()["batch_size"], ())
            for member in members:
                spec = _widest(member, listed, _bound_of(member, bounds))
                train += self._epoch_seconds(member, self._size_of(spec), batches)
        # The share of shapes drawn once estimates the share of new shapes (Good 1953).
        share = self._trials / len(self._drawn)
        new = sum(len(members) == 1 for members in groups.values()) / len(self._drawn)
        programs = len(groups) + new * (self._shapes - len(self._drawn))
        return Estimate(
            programs=programs,
            compile_seconds=compiling * programs / len(groups),
            train_seconds=train * share * self._epochs,
            pools=self._pools,
        )

    def _epoch_seconds(self, training: Training, size: Size, batches: tuple[int, ...]) -> float:
        batch = training.data.step_rows
        parts, gradients = batch // math.gcd(batch, *batches), training.updates.gradients
        return (self._rows // batch) * self._costs.step_seconds(size, batch, parts, gradients)


def _group(training: Training, statics: Mapping[str, Any], merging: Merging) -> Any:
    """Equal for trainings that share a program."""
    free = served(merging.of(training))
    schedule = mergeable()["schedule"]
    own = tuple(
        (path, value)
        for path, value in statics.items()
        if not any(path == part or path.startswith(f"{part}.") for part in free)
        or (path.startswith(schedule) and schedule not in free)
    )
    return own, tuple(free.items())


def _widest(training: Training, listed: Mapping[str, tuple[Any, ...]], bound: float) -> Any:
    """The model of a training with the sizes of its program, up to a bound."""
    sizes = {
        path: listed[path][0].below(bound)
        if _is_up_to(listed[path])
        else OneOf(tuple(size for size in listed[path] if largest(size) <= bound))
        for path, _ in sizes_of(training)
        if path in listed
    }
    return with_leaves(training, sizes).model


def _is_up_to(values: tuple[Any, ...]) -> bool:
    return isinstance(next(iter(values), None), UpTo)


def _bound_of(training: Training, bounds: tuple[int, ...]) -> float:
    """The first bound that holds a training's model."""
    most = max((largest(size) for _, size in sizes_of(training)), default=0)
    return next((bound for bound in bounds if most <= bound), math.inf)


# Those of a model of a user's own, for estimates alone.
_OWN_LAYERS = 3


def _layers(model: Any) -> tuple[int, int]:
    """Dense layers, or matrix products of a sequence model, and convolutions of a model."""
    if isinstance(model, OwnModel):
        return _OWN_LAYERS, 0
    options = options_of(getattr(model, "widths", ()))
    dense = getattr(model, "dense_count", max(len(sizes) for sizes in options))
    return dense, getattr(model, "convolution_count", 0)


def _values(drawn: Sequence[Training], space: SearchSpace, rows: int) -> Merged:
    """The values that each leaf can have in the study; empty for a leaf with too many."""
    found: dict[str, dict[Any, Any]] = {field: {} for field in mergeable()}
    for field, path in mergeable().items():
        if _all_of(space.by_path.get(path)) is None:
            continue
        for value in _all_of(space.by_path.get(path)) or ():
            count = rows if (field, value) == ("batch_size", "all") else value
            found[field][count] = count
        for training in drawn:
            if how_merged(training, path) is not None:
                part = leaf_at(training, path)
                found[field].setdefault(
                    template_of(part, path, space.varying), _example(part, path, space.varying)
                )
    for values in found.values():
        values.pop((), None)  # a linear model has a program of its own
    # So has a list of dense layers.
    found["dense"] = {key: size for key, size in found["dense"].items() if isinstance(size, int)}
    widest = _widest_of(drawn, space)
    if widest:
        del found[_WIDTHS_FIELD]
    return Merged(
        widest=widest,
        **{
            field: tuple(values.values()) if len(values) <= _MOST_VALUES else ()
            for field, values in found.items()
        },
    )


def _widest_of(drawn: Sequence[Training], space: SearchSpace) -> tuple[int, ...]:
    """The widest layers that a study can have, where depth or width vary as numbers."""
    most = []
    for leaf in ("depth", "width"):
        dimension = space.by_path.get(f"model.{leaf}")
        distribution = None if dimension is None else dimension.distribution
        found = [
            len(training.model.widths) if leaf == "depth" else largest(training.model.widths)
            for training in drawn
            if how_merged(training, WIDTHS) is not None and hasattr(training.model, leaf)
        ]
        if not found:
            return ()
        if isinstance(distribution, Int):
            found.append(distribution.high)
        if dimension is not None and dimension.limits is not None:
            found.append(int(dimension.limits[1]))
        most.append((dimension is not None, max(found)))
    (deep, depth), (wide, width) = most
    return (width,) * depth if deep or wide else ()


def _all_of(dimension: Dimension | None) -> list[Any] | None:
    """The values of a leaf's dimension: empty without a dimension, None for too many values."""
    distribution = None if dimension is None else dimension.distribution
    if distribution is None or isinstance(distribution, Choice):
        values = () if distribution is None else distribution.values
        # Parts and their names are merged by the values in the draws.
        plain = [tuple(v) if isinstance(v, list) else v for v in values]
        return [value for value in plain if not isinstance(value, Mapping)]
    if isinstance(distribution, Int) and not distribution.log and distribution.size <= _MOST_VALUES:
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    return None


def _example(part: Any, path: str, varying: frozenset[str]) -> Any:
    """A part that represents its kind: its knobs are defaults, or some number other than 0."""
    if not isinstance(part, Spec):
        return part
    plain: dict[str, Any] = {}
    for inner, mark, value in marked_leaves(part):
        default = type(part).model_fields[inner].default if "." not in inner else value
        if mark is Mark.HOST:
            plain[inner] = default
        elif mark is Mark.KNOB and (value or (value == 0 and f"{path}.{inner}" in varying)):
            plain[inner] = default or 0.5
    return with_leaves(part, plain)
