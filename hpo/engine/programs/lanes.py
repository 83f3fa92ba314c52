"""The lanes of a program: the one place that knows the axis `L`.

Three compiled operations move every trial: `put` sets one lane, `take` reads one, and a round
trains all of them some steps further. Starting, promoting and resuming a trial are the same `put`;
pausing and checkpointing it are the same `take`; so trials come and go without a compile.

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
from hpo.engine.program import Program
from hpo.engine.programs.plans import Form
from hpo.engine.training.lane import DeviceData, Lane, Rows, evaluate, train_steps


class RoundResult(NamedTuple):
    """What a round gives for each lane; a row is meaningful where the lane has ended an epoch."""

    has_ended_epoch: Bool[Array, " L"]
    train_loss: Float[Array, " L"]
    metric_sums: Float[Array, "L 2"]


def train_round(
    program: Program,
    form: Form,
    lanes: Lane,
    data: DeviceData,
    knobs: Float[Array, "L K"],
    order: Int[Array, "L S ..."],
    counts: Int[Array, " L"],
) -> tuple[Lane, RoundResult]:
    """Every lane trained `counts` steps further, and evaluated where that ends its epoch.

    A lane whose count is 0 is left as it is. With "vmap", the counts that are not 0 must be equal,
    because lanes that train at once train equally long. Validation rows that are streamed are
    evaluated by `evaluate_lanes` instead.
    """
    validation = data.validation

    def steps_of(knobs: Array) -> Any:
        return program.steps(program.fill(knobs).batch_size)

    def ends_epoch(knobs: Array, lane: Lane, count: Array) -> Array:
        return (count > 0) & (lane.step % steps_of(knobs) == 0)

    if form == "map":

        def one(args: tuple[Lane, Array, Array, Array]) -> tuple[Lane, RoundResult]:
            lane, knobs, order, count = args
            lane = train_steps(program, knobs, lane, data, order, count)
            ended = ends_epoch(knobs, lane, count)
            sums = jnp.zeros((2,), jnp.float32)
            if validation is not None:
                sums = lax.cond(
                    ended, lambda: evaluate(program, knobs, lane, validation), lambda: sums
                )
            return lane, RoundResult(ended, lane.loss_sum / steps_of(knobs), sums)

        return lax.map(one, (lanes, knobs, order, counts))

    trained = jax.vmap(lambda k, lane, o: train_steps(program, k, lane, data, o, counts.max()))(
        knobs, lanes, order
    )
    lanes = jax.vmap(
        lambda count, new, old: jax.tree.map(lambda n, o: jnp.where(count > 0, n, o), new, old)
    )(counts, trained, lanes)
    ended = jax.vmap(ends_epoch)(knobs, lanes, counts)
    sums = jnp.zeros((counts.shape[0], 2), jnp.float32)
    if validation is not None:
        sums = lax.cond(
            ended.any(),
            lambda: jax.vmap(lambda k, lane: evaluate(program, k, lane, validation))(knobs, lanes),
            lambda: sums,
        )
    return lanes, RoundResult(ended, lanes.loss_sum / jax.vmap(steps_of)(knobs), sums)


def evaluate_lanes(
    program: Program,
    form: Form,
    lanes: Lane,
    knobs: Float[Array, "L K"],
    rows: Rows,
    sums: Float[Array, "L 2"],
    has_ended_epoch: Bool[Array, " L"],
) -> Float[Array, "L 2"]:
    """`sums` with those of the metrics over a piece of a split added, for the lanes that ask."""
    if form == "map":

        def one(args: tuple[Lane, Array, Array, Array]) -> Array:
            lane, knobs, sums, ended = args
            return lax.cond(ended, lambda: evaluate(program, knobs, lane, rows, sums), lambda: sums)

        return lax.map(one, (lanes, knobs, sums, has_ended_epoch))
    return jax.vmap(lambda lane, k, sums: evaluate(program, k, lane, rows, sums))(
        lanes, knobs, sums
    )


def put(lanes: Lane, index: Int[Array, ""], lane: Lane) -> Lane:
    """`lanes` with the lane at `index` replaced."""
    return jax.tree.map(
        lambda all_, one: lax.dynamic_update_index_in_dim(all_, one, index, 0), lanes, lane
    )


def take(lanes: Lane, index: Int[Array, ""]) -> Lane:
    """The lane at `index`."""
    return jax.tree.map(lambda all_: lax.dynamic_index_in_dim(all_, index, keepdims=False), lanes)


class Operation(NamedTuple):
    """A function to compile: its arguments by shape, and which of them it may overwrite.

    `of_lanes` says which arguments have the leading axis `L`; all results have it, but for those of
    `take` on one device.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    donated: tuple[int, ...]
    of_lanes: tuple[bool, ...]


def operations(
    program: Program,
    form: Form,
    count: int,
    data: DeviceData,
    lane: Lane,
    mesh: Mesh | None = None,
) -> dict[str, Operation]:
    """The operations of a pool with `count` lanes, for `data` and a `lane` of these shapes.

    "evaluate" is there only if validation rows are streamed.
    On a mesh, `take` gives a lane of each device, `[devices, ...]`: the one that is asked for, and
    those at the same place among the lanes of the other devices.
    """

    def shape(a: Any, *leading: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*leading, *a.shape), a.dtype)

    one = jax.tree.map(shape, lane)
    lanes = jax.tree.map(lambda a: shape(a, count), lane)
    index = jax.ShapeDtypeStruct((), jnp.int32)
    knobs = jax.ShapeDtypeStruct((count, len(program.knobs)), jnp.float32)
    # In a chunk a micro-batch lies together, so one number says where it is.
    parts, rows = program.order_shape
    places = (parts,) if data.y.ndim > 1 else (parts, rows)
    order = jax.ShapeDtypeStruct((count, *places), jnp.int32)
    counts = jax.ShapeDtypeStruct((count,), jnp.int32)

    def round_(*args: Any) -> tuple[Lane, RoundResult]:
        return train_round(program, form, *args)

    def evaluate_(*args: Any) -> Array:
        return evaluate_lanes(program, form, *args)

    inputs = jax.tree.map(shape, data._replace(piece=None))
    arguments = (lanes, inputs, knobs, order, counts)
    found = {
        "round": Operation(round_, arguments, (0,), (True, False, True, True, True)),
        "put": Operation(put, (lanes, index, one), (0,), (True, False, False)),
        "take": Operation(take, (lanes, index), (), (True, False)),
    }
    if data.piece is not None:
        sums = jax.ShapeDtypeStruct((count, 2), jnp.float32)
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
        check_vma=False,  # what a device makes of its lanes is never the same on another
    )


def _put_if_own(lanes: Lane, index: Int[Array, ""], lane: Lane) -> Lane:
    own = lanes.step.shape[0]
    local = index - lax.axis_index(LANES) * own
    is_own = (local >= 0) & (local < own)
    local = local.clip(0, own - 1)
    kept = take(lanes, local)
    return put(lanes, local, jax.tree.map(lambda a, b: jnp.where(is_own, a, b), lane, kept))


def _take_of_each(lanes: Lane, index: Int[Array, ""]) -> Lane:
    return jax.tree.map(lambda leaf: leaf[None], take(lanes, index % lanes.step.shape[0]))
