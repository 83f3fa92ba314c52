"""The lanes of a program: only this module knows the axis `L`.

Three compiled operations serve all trials: `put` sets one lane, `take` reads one, and a round
trains all of them some steps further. Starting, promoting and resuming a trial are the same `put`.
Pausing and checkpointing it are the same `take`. So a trial comes and goes without a compile.

On a mesh each device runs these operations on the lanes that it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from hpo.engine.mesh import LANES, spec
from hpo.engine.programs.plans import Form
from hpo.engine.training.batches import Batch, DeviceData, Index
from hpo.engine.training.task import Tally, Task


class RoundResult(NamedTuple):
    """The result of a round for each lane; a row is valid if the lane has ended an epoch."""

    has_ended_epoch: Bool[Array, " L"]
    train_loss: Float[Array, " L"]
    norms: Float[Array, "L N"] | None  # of the gradient, if the spec asks for them
    tally: Tally  # sums [L, M], scores [L, chunks, rows, S] or None


def train_round(
    task: Task,
    form: Form,
    lanes: Any,
    data: DeviceData,
    knobs: Float[Array, "L K"],
    feed: Batch,
    counts: Int[Array, " L"],
) -> tuple[Any, RoundResult]:
    """Train each lane `counts` steps further, and evaluate those that end an epoch.

    A lane whose count is 0 is unchanged. With "vmap", all other counts must be equal, because all
    lanes train at once. `evaluate_lanes` evaluates streamed validation rows instead.
    """
    judged = feed["judged"].shape[1:] if "judged" in feed else _parts(data.validation)

    def ends_epoch(knobs: Array, lane: Any, feed: Batch, count: Array) -> Array:
        return (count > 0) & task.has_ended_epoch(knobs, lane, feed)

    def evaluate(knobs: Array, lane: Any, feed: Batch) -> Tally:
        # With folds, each lane has its own rows to evaluate.
        own = Index(data.train, feed) if "judged" in feed else None
        return task.evaluate(knobs, lane, own or data.validation)

    if form == "map":

        def one(args: tuple[Any, Array, Batch, Array]) -> tuple[Any, RoundResult]:
            lane, knobs, feed, count = args
            lane = task.train(knobs, lane, data, feed, count)
            ended = ends_epoch(knobs, lane, feed, count)
            tally = _blank(task, judged)
            if judged is not None:
                blank = tally
                tally = lax.cond(ended, lambda: evaluate(knobs, lane, feed), lambda: blank)
            means = task.train_loss(knobs, lane, feed), task.norms(knobs, lane, feed)
            return lane, RoundResult(ended, *means, tally)

        return lax.map(one, (lanes, knobs, feed, counts))

    trained = jax.vmap(lambda k, lane, f: task.train(k, lane, data, f, counts.max()))(
        knobs, lanes, feed
    )
    lanes = jax.vmap(
        lambda count, new, old: jax.tree.map(lambda n, o: jnp.where(count > 0, n, o), new, old)
    )(counts, trained, lanes)
    ended = jax.vmap(ends_epoch)(knobs, lanes, feed, counts)
    tally = _blank(task, judged, counts.shape[0])
    if judged is not None:
        blanks = tally
        tally = lax.cond(
            ended.any(), lambda: jax.vmap(evaluate)(knobs, lanes, feed), lambda: blanks
        )
    losses = jax.vmap(task.train_loss)(knobs, lanes, feed)
    norms = jax.vmap(task.norms)(knobs, lanes, feed)
    return lanes, RoundResult(ended, losses, norms, tally)


def evaluate_lanes(
    task: Task,
    form: Form,
    lanes: Any,
    knobs: Float[Array, "L K"],
    rows: Batch,
    sums: Float[Array, "L M"],
    has_ended_epoch: Bool[Array, " L"],
) -> Tally:
    """The tally of a piece of a split, added to `sums`, for the lanes that have ended an epoch."""
    if form == "map":

        def one(args: tuple[Any, Array, Array, Array]) -> Tally:
            lane, knobs, sums, ended = args
            kept = _blank(task, _parts(rows))._replace(sums=sums)
            return lax.cond(ended, lambda: task.evaluate(knobs, lane, rows, sums), lambda: kept)

        return lax.map(one, (lanes, knobs, sums, has_ended_epoch))
    return jax.vmap(lambda lane, k, sums: task.evaluate(k, lane, rows, sums))(lanes, knobs, sums)


def _blank(task: Task, parts: tuple[int, ...] | None, *leading: int) -> Tally:
    """The tally of no rows, in the shape of the tally of rows that come in these parts."""
    sums = jnp.zeros((*leading, task.sums), jnp.float32)
    if not task.scores or parts is None:
        return Tally(sums)
    return Tally(sums, jnp.zeros((*leading, *parts, task.scores), jnp.float32))


def _parts(rows: Batch | Index | None) -> tuple[int, ...] | None:
    """The number of parts in which rows come, and the rows of each; None without rows."""
    if isinstance(rows, Index):
        shape: tuple[int, ...] = rows.feed["judged"].shape
        return shape
    return None if rows is None else next(iter(rows.values())).shape[:2]


def put(lanes: Any, index: Int[Array, ""], lane: Any) -> Any:
    """`lanes` with the lane at `index` replaced."""
    return jax.tree.map(
        lambda all_, one: lax.dynamic_update_index_in_dim(all_, one, index, 0), lanes, lane
    )


def take(lanes: Any, index: Int[Array, ""]) -> Any:
    """The lane at `index`."""
    return jax.tree.map(lambda all_: lax.dynamic_index_in_dim(all_, index, keepdims=False), lanes)


class Operation(NamedTuple):
    """A function to compile: its arguments by shape, and which of them it may overwrite.

    `of_lanes` says which arguments have the leading axis `L`; all results have it, except those of
    `take` on one device.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    donated: tuple[int, ...]
    of_lanes: tuple[bool, ...]


def operations(
    task: Task, form: Form, count: int, data: DeviceData, lane: Any, mesh: Mesh | None = None
) -> dict[str, Operation]:
    """The operations of a pool with `count` lanes, for `data` and a `lane` of these shapes.

    "evaluate" is one of them only if validation rows are streamed.
    On a mesh, `take` gives one lane of each device, `[devices, ...]`: the lane with the index, and
    those with the same index within their device.
    """

    def shape(a: Any, *leading: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*leading, *a.shape), a.dtype)

    one = jax.tree.map(shape, lane)
    lanes = jax.tree.map(lambda a: shape(a, count), lane)
    index = jax.ShapeDtypeStruct((), jnp.int32)
    knobs = jax.ShapeDtypeStruct((count, len(task.program.knobs)), jnp.float32)
    feed = {
        name: shape(a, count) for name, a in task.feed_shapes(is_chunked=data.is_chunked).items()
    }
    counts = jax.ShapeDtypeStruct((count,), jnp.int32)

    def round_(*args: Any) -> tuple[Any, RoundResult]:
        return train_round(task, form, *args)

    def evaluate_(*args: Any) -> Tally:
        return evaluate_lanes(task, form, *args)

    inputs = jax.tree.map(shape, data.without_piece())
    arguments = (lanes, inputs, knobs, feed, counts)
    found = {
        "round": Operation(round_, arguments, (0,), (True, False, True, True, True)),
        "put": Operation(put, (lanes, index, one), (0,), (True, False, False)),
        "take": Operation(take, (lanes, index), (), (True, False)),
    }
    if data.piece is not None:
        sums = jax.ShapeDtypeStruct((count, task.sums), jnp.float32)
        ended = jax.ShapeDtypeStruct((count,), jnp.bool_)
        piece = jax.tree.map(shape, data.piece)
        found["evaluate"] = Operation(
            evaluate_, (lanes, knobs, piece, sums, ended), (), (True, True, False, True, True)
        )
    if mesh is None:
        return found
    functions: dict[str, Callable[..., Any]] = {
        "round": round_,
        "put": _put_if_own,
        "take": _take_of_each,
        "evaluate": evaluate_,
    }
    return {
        name: operation._replace(function=_on_each(functions[name], operation.of_lanes, mesh))
        for name, operation in found.items()
    }


def _on_each(function: Callable[..., Any], of_lanes: tuple[bool, ...], mesh: Mesh) -> Any:
    """`function` on every device of a mesh, given the device's own lanes."""
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=tuple(spec(is_of_lanes=each) for each in of_lanes),
        out_specs=spec(is_of_lanes=True),
        check_vma=False,  # each device has other lanes, so no result is the same on all
    )


def _put_if_own(lanes: Any, index: Int[Array, ""], lane: Any) -> Any:
    own = _count(lanes)
    local = index - lax.axis_index(LANES) * own
    is_own = (local >= 0) & (local < own)
    local = local.clip(0, own - 1)
    kept = take(lanes, local)
    return put(lanes, local, jax.tree.map(lambda a, b: jnp.where(is_own, a, b), lane, kept))


def _take_of_each(lanes: Any, index: Int[Array, ""]) -> Any:
    return jax.tree.map(lambda leaf: leaf[None], take(lanes, index % _count(lanes)))


def _count(lanes: Any) -> int:
    """How many lanes there are."""
    return int(jax.tree.leaves(lanes)[0].shape[0])
