"""One lane: a trial's weights and what it takes to train and evaluate them.

Nothing here knows of other lanes; `lanes` maps these functions over the axis `L`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, Num, UInt32

from hpo.data.dataset import DataSet, Split
from hpo.engine.models.dropout import Dropout, mask_key
from hpo.engine.models.initialisers import initial_params
from hpo.engine.models.registry import PRECISIONS, abstract_model
from hpo.engine.oneof import OneOf
from hpo.engine.program import Program
from hpo.engine.training.optimizers import descend, optimizer_state
from hpo.engine.training.random_streams import lane_key, weights_rng
from hpo.engine.training.schedules import schedule_factor
from hpo.engine.training.tasks import example_losses, metric_sums
from hpo.engine.training.weights import cut, joined, narrowed, padded, parted, weight_count, widened
from hpo.spec.experiment import Training

# Rows of one evaluation step: few enough for the activations of a convolution to stay in cache.
_EVALUATION_ROWS = 512


# The values below live on a device while they train and on the host while they wait.
if TYPE_CHECKING:
    AnyArray: TypeAlias = Any
else:
    AnyArray = jax.Array | np.ndarray


class Lane(NamedTuple):
    """The state of a trial in training; all that a checkpoint holds."""

    params: Float[AnyArray, " P"]  # all weights, one after the other (see `weights`)
    statistics: Any  # running statistics of batch norms
    optimizer: Any  # arrays with a number for each weight, and single numbers
    key: UInt32[AnyArray, "2"]  # the trial's own random stream
    step: Int[AnyArray, ""]  # steps trained since the start
    loss_sum: Float[AnyArray, ""]  # of this epoch's steps so far


class Rows(NamedTuple):
    """A split on the device, in chunks for evaluation; padding rows weigh nothing."""

    x: Float[AnyArray, "chunks rows ..."]
    y: Num[AnyArray, "chunks rows"]
    weights: Float[AnyArray, "chunks rows"]


class DeviceData(NamedTuple):
    """The data set as a program takes it: whole, or a chunk of its micro-batches.

    Validation rows that are streamed are None here, and `piece` then says in which shapes they
    come; a round is given none.
    """

    x: Float[AnyArray, "N ..."]
    y: Num[AnyArray, "N ..."]
    validation: Rows | None
    piece: Rows | None = None


def initial_lane(program: Program, training: Training) -> Lane:
    """The lane of a trial before its first step, as NumPy arrays.

    Raises:
        HpoError: for a model that cannot take the data's examples.
    """
    seed, stream = training.train.seed, training.train.stream

    def made(own: Any, shapes: Any) -> Any:
        return padded(initial_params(own, training.model.init, weights_rng(seed, stream)), shapes)

    _, *own = abstract_model(program.of_its_own(training))
    _, *shapes = abstract_model(program)
    params, statistics = map(made, own, shapes)
    state = abstract_lane(program).optimizer
    return Lane(
        params=joined(params),
        statistics=statistics,
        # Every optimizer of the registry starts from zeros, which a test holds it to.
        optimizer=jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state),
        key=lane_key(seed, stream),
        step=np.zeros((), np.int32),
        loss_sum=np.zeros((), np.float32),
    )


def own_weights(program: Program, training: Training, lane: Lane) -> tuple[Any, Any]:
    """A trial's weights and statistics in the shapes that it would have in a program of its own."""
    _, params, statistics = abstract_model(program.of_its_own(training))
    return cut(parted(program, lane.params), params), cut(lane.statistics, statistics)


@lru_cache(maxsize=256)
def abstract_lane(program: Program) -> Lane:
    """The shapes of a program's lanes, for what must be known before anything takes memory.

    Raises:
        HpoError: for a model that cannot take the data's examples.
    """
    _, _, statistics = abstract_model(program)
    params = jax.ShapeDtypeStruct((weight_count(program),), np.float32)
    optimizer = optimizer_state(program.optimizer, params)
    key = jax.ShapeDtypeStruct((2,), np.uint32)
    step, loss_sum = (jax.ShapeDtypeStruct((), dtype) for dtype in (np.int32, np.float32))
    return Lane(params, statistics, optimizer, key, step, loss_sum)


def lane_to_arrays(lane: Lane) -> dict[str, np.ndarray]:
    """A lane on the host as named arrays, for a checkpoint."""
    leaves = jax.tree_util.tree_leaves_with_path(lane)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def lane_from_arrays(like: Lane, arrays: Mapping[str, np.ndarray]) -> Lane | None:
    """The lane that a checkpoint holds, or None where it is not one of a lane such as `like`."""
    expected = lane_to_arrays(like)
    if expected.keys() != arrays.keys() or any(
        arrays[name].shape != leaf.shape or arrays[name].dtype != leaf.dtype
        for name, leaf in expected.items()
    ):
        return None
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in expected])


def train_steps(
    program: Program,
    knobs: Float[Array, " K"],
    lane: Lane,
    data: DeviceData,
    order: Int[Array, "S ..."],
    count: Int[Array, ""],
) -> Lane:
    """The lane after `count` more steps of the epoch whose batches `order` lists.

    A batch is its rows in the data set, or its place in a chunk of batches.
    """

    def whole(lane: Lane) -> Lane:
        return _train_steps(program, knobs, lane, data, order, count)

    def within(narrow: Program) -> Callable[[Lane], Lane]:
        def train(lane: Lane) -> Lane:
            small = narrowed(program, narrow, lane)
            small = _train_steps(narrow, knobs, small, data, order, count)
            return widened(program, narrow, lane, small)

        return train

    if not program.bounds:
        return whole(lane)
    branches = [*(within(program.narrow(bound)) for bound in program.bounds), whole]
    return lax.switch(program.place_of_size(knobs), branches, lane)


def _train_steps(
    program: Program, knobs: Array, lane: Lane, data: DeviceData, order: Array, count: Array
) -> Lane:
    spec = program.fill(knobs)
    graph, _, _ = abstract_model(program)
    steps = program.steps(spec.batch_size)
    dtype = PRECISIONS[program.template.train.precision]

    def loss_of(
        params: Any, statistics: Any, dropout: Dropout, x: Array, y: Array
    ) -> tuple[Array, Any]:
        model = nnx.merge(graph, params, statistics)
        outputs = model(x.astype(dtype), spec.model, train=True, dropout=dropout)
        changed = nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))
        return example_losses(program.task, outputs, y).mean(), changed

    def part(
        params: Any, lane: Lane, position: Array, number: Any
    ) -> tuple[tuple[Array, Any], Any]:
        """Loss, statistics and gradients of a micro-batch of the step at `position`."""
        rows = order[position * program.parts(spec.batch_size) + number]
        key = mask_key(lane.key, lane.step)
        dropout = Dropout(spec.model.dropout, key, first_row=number * program.micro_batch)
        return jax.value_and_grad(loss_of, has_aux=True)(
            params, lane.statistics, dropout, data.x[rows], data.y[rows]
        )

    def whole(lane: Lane, position: Array) -> tuple[Array, Any, Array]:
        """Loss, statistics and gradients of a whole batch, whose micro-batches count alike."""
        params = parted(program, lane.params)
        if not isinstance(spec.batch_size, OneOf):
            (loss, statistics), gradients = part(params, lane, position, 0)
            return loss, statistics, joined(gradients)

        def add(number: Any, sums: tuple[Array, Any]) -> tuple[Array, Any]:
            (loss, _), gradients = part(params, lane, position, number)
            return jax.tree.map(jnp.add, sums, (loss, gradients))

        parts = program.parts(spec.batch_size)
        zeros = jax.tree.map(jnp.zeros_like, (lane.loss_sum, params))
        loss, gradients = lax.fori_loop(0, parts, add, zeros)
        return loss / parts, lane.statistics, joined(gradients) / parts

    def step(_: int, lane: Lane) -> Lane:
        position = lane.step % steps
        loss, statistics, gradients = whole(lane, position)
        rate = spec.learning_rate * schedule_factor(spec.schedule, lane.step, spec.epochs * steps)
        params, state = descend(spec.optimizer, gradients, lane.optimizer, lane.params, rate)
        return Lane(
            params=params,
            statistics=statistics,
            optimizer=state,
            key=lane.key,
            step=lane.step + 1,
            loss_sum=jnp.where(position == 0, 0.0, lane.loss_sum) + loss,
        )

    return lax.fori_loop(0, count, step, lane)


def evaluate(
    program: Program,
    knobs: Float[Array, " K"],
    lane: Lane,
    rows: Rows,
    sums: Float[Array, "2"] | None = None,
) -> Float[Array, "2"]:
    """Sums of the metrics over the rows of a split, added to `sums`."""
    spec = program.fill(knobs).model
    graph, _, _ = abstract_model(program)
    dtype = PRECISIONS[program.template.train.precision]

    params = parted(program, lane.params)

    def add(sums: Array, rows: Rows) -> tuple[Array, None]:
        model = nnx.merge(graph, params, lane.statistics)
        outputs = model(rows.x.astype(dtype), spec, train=False, dropout=Dropout(0, None))
        return sums + metric_sums(program.task, outputs, rows.y, rows.weights), None

    sums = jnp.zeros((2,), jnp.float32) if sums is None else sums
    if rows.y.shape[0] == 1:
        return add(sums, jax.tree.map(lambda a: a[0], rows))[0]
    # One part after the other, so that the sum is the same bit for bit if they come in pieces.
    return lax.scan(add, sums, rows)[0]


def evaluation_parts(rows: int) -> int:
    """Into how many equal parts the rows of a split are cut for evaluation."""
    return math.ceil(rows / _EVALUATION_ROWS)


def host_rows(split: Split, start: int = 0, count: int | None = None) -> Rows:
    """`count` parts of a split from the one at `start`, or all; padding rows weigh nothing."""
    parts = evaluation_parts(len(split))
    rows = math.ceil(len(split) / parts)
    count = parts if count is None else count
    some = slice(start * rows, (start + count) * rows)

    def cut(array: np.ndarray) -> np.ndarray:
        padding = count * rows - len(array)
        padded = np.pad(array, [(0, padding)] + [(0, 0)] * (array.ndim - 1))
        return padded.reshape(count, rows, *array.shape[1:])

    x, y = split.x[some], split.y[some]
    return Rows(cut(x), cut(y), cut(np.ones(len(y), np.float32)))


def host_data(data: DataSet) -> DeviceData:
    """The data set as a program takes it, still on the host."""
    return DeviceData(data.train.x, data.train.y, host_rows(data.validation))
