"""One lane: a trial's weights and what it takes to train and evaluate them.

Nothing here knows of other lanes; `lanes` maps these functions over the axis `L`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, Num, UInt32

from hpo.data.dataset import DataSet, Split
from hpo.engine.dropout import Dropout, MaskKey, mask_key
from hpo.engine.initialisers import initial_params
from hpo.engine.losses import example_losses, metric_sums
from hpo.engine.models import PRECISIONS, abstract_model
from hpo.engine.optimizers import make_optimizer
from hpo.engine.order import lane_key, weights_rng
from hpo.engine.program import Program
from hpo.engine.schedules import schedule_factor
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

    params: Any
    statistics: Any  # running statistics of batch norms
    optimizer: Any
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
    shapes, init = abstract_lane(program), training.model.init
    return Lane(
        params=initial_params(shapes.params, init, weights_rng(seed, stream)),
        statistics=initial_params(shapes.statistics, init, weights_rng(seed, stream)),
        # Every optimizer of the registry starts from zeros, which a test holds it to.
        optimizer=jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes.optimizer),
        key=lane_key(seed, stream),
        step=np.zeros((), np.int32),
        loss_sum=np.zeros((), np.float32),
    )


@lru_cache(maxsize=256)
def abstract_lane(program: Program) -> Lane:
    """The shapes of a program's lanes, for what must be known before anything takes memory.

    Raises:
        HpoError: for a model that cannot take the data's examples.
    """
    _, params, statistics = abstract_model(program)
    optimizer = jax.eval_shape(make_optimizer(program.template.optimizer).init, params)
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
    spec = program.fill(knobs)
    graph, _, _ = abstract_model(program)
    optimizer = make_optimizer(spec.optimizer)
    total_steps = spec.train.epochs * program.steps
    dtype = PRECISIONS[program.template.train.precision]

    def loss_of(
        params: Any, statistics: Any, key: MaskKey, x: Array, y: Array
    ) -> tuple[Array, Any]:
        model = nnx.merge(graph, params, statistics)
        outputs = model(x.astype(dtype), train=True, dropout=Dropout(spec.model.dropout, key))
        changed = nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))
        return example_losses(program.task, outputs, y).mean(), changed

    def step(_: int, lane: Lane) -> Lane:
        position = lane.step % program.steps
        rows = order[position]
        key = mask_key(lane.key, lane.step)
        (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            lane.params, lane.statistics, key, data.x[rows], data.y[rows]
        )
        direction, state = optimizer.update(gradients, lane.optimizer, lane.params)
        rate = spec.optimizer.learning_rate * schedule_factor(
            spec.optimizer.schedule, lane.step, total_steps
        )
        return Lane(
            params=jax.tree.map(lambda p, d: p - rate * d, lane.params, direction),
            statistics=statistics,
            optimizer=state,
            key=lane.key,
            step=lane.step + 1,
            loss_sum=jnp.where(position == 0, 0.0, lane.loss_sum) + loss,
        )

    return lax.fori_loop(0, count, step, lane)


def evaluate(
    program: Program, lane: Lane, rows: Rows, sums: Float[Array, "2"] | None = None
) -> Float[Array, "2"]:
    """Sums of the metrics over the rows of a split, added to `sums`."""
    graph, _, _ = abstract_model(program)
    dtype = PRECISIONS[program.template.train.precision]

    def add(sums: Array, rows: Rows) -> tuple[Array, None]:
        model = nnx.merge(graph, lane.params, lane.statistics)
        outputs = model(rows.x.astype(dtype), train=False, dropout=Dropout(0, None))
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
