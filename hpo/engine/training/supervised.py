"""Supervised training as a task: a model, a loss, an optimizer and a data set.

These functions work on one lane; `lanes` maps them over the axis `L`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from hpo.data.dataset import DataSet, Split
from hpo.engine.models.abstract import abstract_model, authored, is_authored, model_alone
from hpo.engine.models.embedding import from_loaded
from hpo.engine.models.initialisers import initial_params, kernel_initialiser
from hpo.engine.program import Program
from hpo.engine.techniques import check_techniques
from hpo.engine.training.augmentation.colour import recolours
from hpo.engine.training.batches import (
    Batch,
    DeviceData,
    Index,
    fed,
    fold_feed,
    fold_shapes,
    judged_shape,
)
from hpo.engine.training.compression.hints import with_first_map, without_map
from hpo.engine.training.compression.inputs import settled, with_added, without_added
from hpo.engine.training.compression.quantisation import quantised, with_steps
from hpo.engine.training.compression.sparsity import (
    connection_shapes,
    first_connections,
    is_renewed,
    renewed,
)
from hpo.engine.training.forward import forward
from hpo.engine.training.lane import Lane
from hpo.engine.training.metrics.named import (
    Judged,
    named_metrics,
    named_sums,
    named_values,
    named_width,
)
from hpo.engine.training.metrics.scored import scored_metrics
from hpo.engine.training.metrics.thresholds import best_thresholds, decided_metrics
from hpo.engine.training.own_functions import look_at_functions
from hpo.engine.training.pretrained import started
from hpo.engine.training.random_streams import batches, lane_key, private_rng, weights_rng
from hpo.engine.training.rules.whole import check_whole
from hpo.engine.training.steps import descent_of, epoch_steps, train_steps
from hpo.engine.training.targets.sums import check_loss, metric_sums, metrics, row_losses, sum_count
from hpo.engine.training.task import Epoch, Progress, Tally
from hpo.engine.training.techniques.averages import (
    first_copies,
    has_statistics,
    judged_weights,
    recomputed,
)
from hpo.engine.training.techniques.norms import first_norms, named_norms
from hpo.engine.training.techniques.precision import first_scaling
from hpo.engine.training.techniques.privacy import batch_places, drawn_rows
from hpo.engine.training.techniques.sampling import epoch_rows, part_rows
from hpo.engine.training.techniques.updates import check_patterns
from hpo.engine.training.weights import (
    cut,
    joined,
    narrowed,
    padded,
    parted,
    weight_count,
    widened,
)
from hpo.registry import METRICS
from hpo.spec.experiment import Training
from hpo.spec.sections.models.pretrained import folder_of


@dataclass(frozen=True)
class Supervised:
    """The supervised task of a program."""

    program: Program
    is_whole: ClassVar[bool] = False

    @property
    def sums(self) -> int:
        """M: the number of sums from which the metrics are computed."""
        program = self.program
        count = sum_count(program.task, program.outputs, program.template.loss)
        return count + named_width(program)

    @property
    def scores(self) -> int:
        """S: the number of outputs for each row if a metric needs them, else 0."""
        shape = self.program.output_shape
        train = self.program.template.train
        is_scored = any(not (name in METRICS and METRICS[name].reads) for name in train.metrics)
        return math.prod(shape) if is_scored or train.threshold is not None else 0

    def shapes(self) -> Any:
        """The shapes of a lane.

        Raises:
            HpoError: for a model that cannot take the data's examples.
        """
        return abstract_lane(self.program)

    def initial(self, training: Training, data: DataSet | None = None) -> Lane:
        """The lane of a trial before its first step; see `initial_lane`."""
        return initial_lane(self.program, training, data)

    def epoch(self, training: Training, fold: DataSet | None = None) -> Epoch:
        """The size of a trial's epoch; the last partial batch is dropped."""
        size = training.data.step_rows
        rows = self.program.train_rows if fold is None else len(fold.train)
        steps = part_rows(training.sampling.share, rows) // size
        return Epoch(steps, self.program.parts(size), size)

    def feed_shapes(self, *, is_chunked: bool) -> Mapping[str, jax.ShapeDtypeStruct]:
        """The shape of `rows`: each micro-batch's rows in the data set, or its slot in a chunk.

        With folds or a share of the rows, that of `steps`, the number in an epoch. With folds, also
        those of `fold_feed`. With folds of images, those of `offset` and `divisor`.
        """
        parts, rows = self.program.order_shape
        # A slot of a chunk holds a whole micro-batch, so one number is enough.
        shape = (parts,) if is_chunked else (parts, rows)
        if self.program.template.privacy.is_on:
            shape = (parts, batch_places(self.program.train_rows, rows))
        shapes: dict[str, tuple[int, ...]] = {"rows": shape}
        if self.program.own_steps or self.program.judged_rows:
            shapes["steps"] = ()
        if self.program.judged_rows:
            shapes |= fold_shapes(self.program)
        found = {name: jax.ShapeDtypeStruct(shape, np.int32) for name, shape in shapes.items()}
        if self.program.template.sampling.name == "importance":
            found["row_weight"] = jax.ShapeDtypeStruct((self.program.train_rows,), np.float32)
        if self.program.scales:
            numbers = jax.ShapeDtypeStruct(self.program.scales, np.float32)
            found |= {"offset": numbers, "divisor": numbers}
        if self._recolours:
            ends = jax.ShapeDtypeStruct(self.program.example_shape[-1:], np.float32)
            found |= {"black": ends, "white": ends}
        return found

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """The rows of each micro-batch of an epoch, the same for every batch size."""
        program = self.program
        order = batches(seed, epoch, program.train_rows, program.micro_batch)
        return order[: program.order_shape[0]]

    def feed(
        self,
        training: Training,
        epoch: int,
        data: DataSet | None = None,
        losses: np.ndarray | None = None,
    ) -> Mapping[str, np.ndarray]:
        """`rows`: those of each micro-batch of an epoch; a trial reads those of its steps.

        A private training draws each row of a step by chance; -1 is a place without one.
        On a fold or a share of the rows, also the number of `steps`. On a fold, the rows to
        evaluate as `judged`, and the `offset` and `divisor` of images. By importance, also the
        `row_weight` of every training row. Where the colours of images change, also `black` and
        `white` (`constants`).
        """
        return {**self._drawn(training, epoch, data, losses), **self.constants(data)}

    def constants(self, data: DataSet | None) -> Mapping[str, np.ndarray]:
        """The part of a feed that is the same in all epochs.

        `offset` and `divisor` of features that are scaled in a step, `black` and `white` as scaled.
        """
        if data is None:
            return {}
        scale = data.train.scale
        found = {} if scale is None else {"offset": scale[0], "divisor": scale[1]}
        if self._recolours:
            found |= dict(zip(("black", "white"), data.pixel_ends, strict=True))
        return found

    @property
    def _recolours(self) -> bool:
        return recolours(self.program.template.augment)

    def _drawn(
        self,
        training: Training,
        epoch: int,
        data: DataSet | None,
        losses: np.ndarray | None,
    ) -> Mapping[str, np.ndarray]:
        """The rows of an epoch, and what belongs to them."""
        program, sampling = self.program, training.sampling
        if program.template.privacy.is_on:
            rng = private_rng(training.train.seed, training.train.stream, epoch)
            size, steps = training.data.step_rows, self.epoch(training).steps
            return {"rows": drawn_rows(rng, program.train_rows, size, steps)}
        fold = data if program.judged_rows else None
        extra = 0 if data is None or data.extra is None else len(data.extra)
        is_usual = sampling.name == "uniform" and not (sampling.extra_share and extra)
        if fold is None and not program.own_steps and is_usual:
            return {"rows": self.order(training.train.seed, epoch)}
        count = program.train_rows if fold is None else len(fold.train)
        classes = data.train.y if data and program.task == "classification" else None
        drawn, weight = epoch_rows(training, epoch, count, classes, losses, extra)
        own = drawn[: len(drawn) // program.micro_batch * program.micro_batch]
        own = own.reshape(-1, program.micro_batch)[: program.order_shape[0]]
        rows = np.zeros(program.order_shape, np.int32)
        rows[: len(own)] = own if fold is None else fold.drawn_places[own]
        feed = {"rows": rows} if weight is None else {"rows": rows, "row_weight": weight}
        if fold is not None or program.own_steps:
            feed["steps"] = np.array(self.epoch(training, fold).steps, np.int32)
        if fold is not None:
            feed |= fold_feed(program, fold)
        return feed

    def row_losses(self, lanes: Lane) -> Any | None:
        """The losses of training rows that lanes keep, `[L, N]`; None if no feed reads them."""
        return lanes.row_losses

    def progress(self, training: Training, lane: Lane, fold: DataSet | None = None) -> Progress:
        """The whole epochs that a lane has trained, and the steps of the next one."""
        return Progress(*divmod(int(lane.step), self.epoch(training, fold).steps))

    def has_ended_epoch(self, knobs: Float[Array, " K"], lane: Lane, feed: Batch) -> Any:
        """Whether a lane is at the end of an epoch."""
        return lane.step % epoch_steps(self.program, self.program.fill(knobs), feed) == 0

    def train_loss(self, knobs: Float[Array, " K"], lane: Lane, feed: Batch) -> Any:
        """The mean loss over the steps of a whole epoch."""
        steps = epoch_steps(self.program, self.program.fill(knobs), feed)
        # The compiler turns a division by a fixed number into such a product.
        return lane.loss_sum * (1 / steps) if self.program.own_steps else lane.loss_sum / steps

    def norms(self, knobs: Float[Array, " K"], lane: Lane, feed: Batch) -> Any:
        """The mean norms of the gradient over the steps of a whole epoch; None without them."""
        if lane.norms is None:
            return None
        return lane.norms / epoch_steps(self.program, self.program.fill(knobs), feed)

    def named_norms(self, norms: np.ndarray) -> dict[str, float]:
        """These norms as metrics, by their names."""
        return named_norms(self.program, norms)

    def train(
        self,
        knobs: Float[Array, " K"],
        lane: Lane,
        data: DeviceData,
        feed: Batch,
        count: Int[Array, ""],
    ) -> Lane:
        """The lane after `count` more steps; narrow models train in smaller arrays."""
        program = self.program

        def whole(lane: Lane) -> Lane:
            return train_steps(program, knobs, lane, data, feed, count)

        def within(narrow: Program) -> Callable[[Lane], Lane]:
            def train(lane: Lane) -> Lane:
                small = narrowed(program, narrow, lane)
                small = train_steps(narrow, knobs, small, data, feed, count)
                return widened(program, narrow, lane, small)

            return train

        losses, lane = lane.row_losses, lane._replace(row_losses=None)
        if not program.bounds:
            trained = whole(lane)
        else:
            branches = [*(within(program.narrow(bound)) for bound in program.bounds), whole]
            trained = lax.switch(program.bound_index(knobs), branches, lane)
        if losses is None and not has_statistics(program) and not is_renewed(program):
            return trained
        ended = (count > 0) & self.has_ended_epoch(knobs, trained, feed)
        if is_renewed(program):
            spec = program.fill(knobs)
            steps = epoch_steps(program, spec, feed)
            trained = lax.cond(
                ended, lambda: renewed(program, spec, trained, steps), lambda: trained
            )
        if has_statistics(program):
            trained = lax.cond(
                ended, lambda: recomputed(program, knobs, trained, data, feed), lambda: trained
            )
        if losses is None:
            return trained
        found = lax.cond(
            ended, lambda: _row_losses(program, knobs, trained, data, feed), lambda: losses
        )
        return trained._replace(row_losses=found)

    def evaluate(
        self,
        knobs: Float[Array, " K"],
        lane: Lane,
        rows: Batch | Index,
        sums: Float[Array, " M"] | None = None,
    ) -> Tally:
        """Sums of the metrics over the rows `[chunks, rows, ...]` of a split, added to `sums`."""
        return self.evaluate_as(self.program.fill(knobs), lane, rows, sums)

    def evaluate_as(
        self, spec: Training, lane: Lane, rows: Batch | Index, sums: Float[Array, " M"] | None
    ) -> Tally:
        """The same for a training whose knobs are filled in."""
        program = self.program
        params, variables = judged(program, spec, lane)

        def add(sums: Array, part: Any) -> tuple[Array, Array | None]:
            batch = rows.batch(part) if isinstance(rows, Index) else part
            outputs, _ = forward(program, spec, params, variables, batch)
            scores = None
            if self.scores:
                scores = outputs.astype(jnp.float32).reshape(outputs.shape[0], self.scores)
            own = metric_sums(program.task, outputs, batch, spec.loss)
            if named_metrics(program):
                found = Judged(program, spec, lane, params, variables)
                own = jnp.concatenate([own, named_sums(found, batch)])
            return sums + own, scores

        sums = jnp.zeros((self.sums,), jnp.float32) if sums is None else sums
        parts = rows.feed["judged"] if isinstance(rows, Index) else rows
        if jax.tree.leaves(parts)[0].shape[0] == 1:
            sums, scores = add(sums, jax.tree.map(lambda a: a[0], parts))
            return Tally(sums, None if scores is None else scores[None])
        # The parts are added in order, so that the sum of streamed pieces is the same bit for bit.
        return Tally(*lax.scan(add, sums, parts))

    def metrics(
        self,
        data: DataSet,
        split: Split,
        sums: np.ndarray,
        scores: np.ndarray | None,
        thresholds: np.ndarray | None = None,
    ) -> dict[str, float]:
        """The metrics of the task, in the target's unit, and those of `train.metrics`.

        Where the spec asks for thresholds, they are chosen on this split unless they are given.
        """
        template = self.program.template
        names, own = template.train.metrics, len(sums) - named_width(self.program)
        found = metrics(data, split, sums[:own], template.loss)
        found |= named_values(self.program, sums[own:], split)
        if scores is None:
            return found
        outputs = self._outputs(split, scores)
        found |= scored_metrics(names, data, split, outputs, template.own_metrics)
        if template.train.threshold is None:
            return found
        if thresholds is None:
            thresholds = best_thresholds(template.train.threshold, data, split, outputs)
        return found | decided_metrics(names, data, split, outputs, thresholds)

    def thresholds(self, data: DataSet, scores: np.ndarray | None) -> np.ndarray | None:
        """The thresholds that the validation split chooses, from its scores; None for none."""
        metric, split = self.program.template.train.threshold, data.validation
        if metric is None or scores is None:
            return None
        return best_thresholds(metric, data, split, self._outputs(split, scores))

    def _outputs(self, split: Split, scores: np.ndarray) -> np.ndarray:
        """The outputs of the model for the rows of a split."""
        return scores.reshape(-1, *self.program.output_shape)[: len(split)]


def _row_losses(
    program: Program, knobs: Float[Array, " K"], lane: Lane, data: DeviceData, feed: Batch
) -> Float[Array, " N"]:
    """The loss of every training row without its weight, in the order of the rows."""
    spec = program.fill(knobs)
    params, variables = judged(program, spec, lane)
    shape = judged_shape(program.train_rows)
    own = {name: feed[name] for name in ("offset", "divisor") if name in feed}

    def of(places: Array) -> Array:
        batch = fed(data.train, jnp.minimum(places, program.train_rows - 1), own)
        outputs, _ = forward(program, spec, params, variables, batch)
        return row_losses(program.task, outputs, batch, spec.loss)

    return lax.map(of, jnp.arange(math.prod(shape)).reshape(shape)).ravel()[: program.train_rows]


def judged(program: Program, spec: Training, lane: Lane) -> tuple[Any, Any]:
    """The weights (as a tree) and the variables with which a lane is evaluated and exported.

    `spec` has the numbers of the lane.
    """
    vector, variables = judged_weights(lane)
    params, variables = settled(parted(program, vector), variables)
    return quantised(spec.compression, params), variables


def initial_lane(program: Program, training: Training, data: DataSet | None = None) -> Lane:
    """The lane of a trial before its first step, as NumPy arrays.

    Vectors of tokens start from those that `data`, the trial's own fold, has loaded.

    Raises:
        HpoError: for a model that cannot take the data's examples.
    """
    seed, stream = training.train.seed, training.train.stream
    whole = abstract_model(program)
    own = program.of_its_own(training)
    own_params, own_variables = _first_weights(own, training, data)
    start = folder_of(training.model)
    if start is not None:
        drawn = {"params": own_params, "variables": own_variables}
        arrays = start.arrays_of(seed, 0 if data is None else data.number)
        own_params, own_variables = started(start, arrays, drawn, program.outputs).values()
    own_params = with_first_map(own, with_added(own, with_steps(training.compression, own_params)))
    params = joined(padded(own_params, whole.params))
    variables = padded(own_variables, whole.variables)
    descent = descent_of(program, program.optimizer, program.template.updates)
    return Lane(
        params=params,
        variables=variables,
        optimizer=descent.start(training.optimizer, training.updates, params),
        key=lane_key(seed, stream),
        step=np.zeros((), np.int32),
        loss_sum=np.zeros((), np.float32),
        copies=first_copies(
            program, params, variables, first_connections(program, training, params)
        ),
        scaling=first_scaling(program),
        norms=first_norms(program),
        row_losses=np.zeros(program.train_rows, np.float32) if _keeps_losses(program) else None,
    )


def _first_weights(program: Program, training: Training, data: DataSet | None) -> tuple[Any, Any]:
    """Weights and variables of a trial in a program of its own, before its first step."""
    seed, stream = training.train.seed, training.train.stream
    if is_authored(training.model):
        # A model of a user's own keeps its author's initialisers.
        number = int(weights_rng(seed, stream).integers(2**31))
        return authored(training.model, program, number)
    model, kernel = abstract_model(program), kernel_initialiser(training.model)
    loaded = None if data is None else data.embeddings
    leaves = model.leaves if loaded is None else {**model.leaves, **from_loaded(loaded)}
    params, variables = (
        initial_params(shapes, kernel, weights_rng(seed, stream), leaves)
        for shapes in (model_alone(model.params), model.variables)
    )
    return params, variables


def own_weights(program: Program, training: Training, lane: Lane) -> tuple[Any, Any]:
    """A trial's weights and variables in the shapes of an unmerged program."""
    own = abstract_model(program.of_its_own(training))
    params, variables = jax.device_get(judged(program, training, lane))
    kept = without_added(without_map(own.params))
    return cut(params, kept), cut(variables, own.variables)


@lru_cache(maxsize=256)
def abstract_lane(program: Program) -> Lane:
    """The shapes of a program's lanes, without allocating memory.

    Raises:
        HpoError: for a model that cannot take the data's examples, or for a function of the user's
            own whose result does not fit.
    """
    check_loss(program)
    check_techniques(program)
    check_whole(program, weight_count(program))
    look_at_functions(program)
    check_patterns(program.template.updates, abstract_model(program).params)
    params = jax.ShapeDtypeStruct((weight_count(program),), np.float32)
    optimizer = descent_of(program, program.optimizer, program.template.updates).state_shapes(
        params
    )
    key = jax.ShapeDtypeStruct((2,), np.uint32)
    step, loss_sum = (jax.ShapeDtypeStruct((), dtype) for dtype in (np.int32, np.float32))
    losses = jax.ShapeDtypeStruct((program.train_rows,), np.float32)
    kept = losses if _keeps_losses(program) else None
    variables = abstract_model(program).variables
    copies = first_copies(program, params, variables, connection_shapes(program))
    scaling, norms = jax.tree.map(_shape_of, (first_scaling(program), first_norms(program)))
    return Lane(params, variables, optimizer, key, step, loss_sum, copies, scaling, norms, kept)


def _shape_of(array: np.ndarray) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _keeps_losses(program: Program) -> bool:
    return program.template.sampling.keeps_losses
