"""Runs a function of JAX with arrays without the places that go.

An operation whose parameters have the sizes of arrays gets others. What terms of a sum go, and are
not 0, is added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from hpo.trained.exported.slimming.kept import Kept
from hpo.trained.exported.slimming.known import (
    factors,
    is_summed_plainly,
    reads_zeros,
    sum_of_products,
)
from hpo.trained.exported.slimming.shapes import Loop, axes_of_slices, loop_of
from hpo.trained.exported.translation import read_equations

# Operations that run a function, which is written out in their place.
_CALLS = (
    *("jit", "pjit", "closed_call", "checkpoint", "remat2"),
    *("custom_jvp_call", "custom_vjp_call"),
)


def in_operations(run: Callable[..., Any], *inputs: Any) -> tuple[Any, list[np.ndarray]]:
    """A function of arrays in single operations, and the arrays that it takes before the others."""
    traced: Any = jax.make_jaxpr(run)(*inputs)

    def in_parts(*leaves: Any) -> list[Any]:
        return _inlined(traced.jaxpr, traced.consts, leaves)

    flat: Any = jax.make_jaxpr(in_parts)(*jax.tree.leaves(inputs))
    jaxpr = flat.jaxpr.replace(constvars=[], invars=[*flat.jaxpr.constvars, *flat.jaxpr.invars])
    jaxpr = jaxpr.replace(eqns=read_equations(jaxpr))
    return jaxpr, [np.asarray(one) for one in flat.consts]


def _inlined(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    def bind(equation: Any, values: list[Any]) -> list[Any]:
        params = equation.params
        names = [name for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in params]
        if names and equation.primitive.name in _CALLS:
            inner: Any = params[names[0]]
            return _inlined(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), values)
        if equation.primitive.name == "scan":
            params = {**params, "jaxpr": _flat(params["jaxpr"])}
        return _bound(equation, values, params)

    return _run(jaxpr, [*consts, *inputs], bind, [*jaxpr.constvars, *jaxpr.invars])


def _flat(inner: Any) -> Any:
    """A function within an operation, in single operations."""
    shapes = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in inner.in_avals]
    return jax.make_jaxpr(lambda *inputs: _inlined(inner.jaxpr, inner.consts, inputs))(*shapes)


def _bound(equation: Any, values: Sequence[Any], params: Any) -> list[Any]:
    found = equation.primitive.bind(*values, **params)
    return [*found] if equation.primitive.multiple_results else [found]


def _run(
    jaxpr: Any,
    inputs: Sequence[Any],
    bind: Callable[[Any, list[Any]], list[Any]],
    variables: Sequence[Any],
) -> list[Any]:
    values: dict[Any, Any] = dict(zip(variables, inputs, strict=True))

    def read(atom: Any) -> Any:
        if isinstance(atom, core.Literal):
            return atom.val
        return values[atom]

    for equation in jaxpr.eqns:
        found = bind(equation, [read(atom) for atom in equation.invars])
        values |= dict(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def outputs_of(jaxpr: Any, kept: Kept, inputs: Sequence[Any]) -> list[Any]:
    """The outputs of a function for arrays without the places that go."""

    def bind(equation: Any, values: list[Any]) -> list[Any]:
        if (loop := loop_of(equation)) is not None:
            return _looped(loop, kept, equation, values)
        change = CHANGES.get(equation.primitive.name)
        params = equation.params if change is None else change(kept, equation)
        found = _bound(equation, values, params)
        gone = _gone(kept, equation) if equation.primitive.name in _SUMS else None
        return found if gone is None else [found[0] + gone]

    return _run(jaxpr, inputs, bind, jaxpr.invars)


def _looped(loop: Loop, kept: Kept, equation: Any, values: Sequence[Any]) -> list[Any]:
    same, end = values[: loop.same], loop.same + loop.state

    def step(state: Any, rows: Any) -> tuple[Any, Any]:
        found = outputs_of(loop.body, kept, [*same, *state, *rows])
        return found[: loop.state], found[loop.state :]

    how = {name: equation.params[name] for name in ("reverse", "unroll")}
    if not values[end:]:  # rows tell it, too, where it is that of a batch of any size
        how["length"] = equation.params["length"]
    state, rows = lax.scan(step, [*values[loop.same : end]], [*values[end:]], **how)
    return [*state, *rows]


def _gone(kept: Kept, equation: Any) -> Any:
    """What the terms of a sum that go add up to; None where that is 0."""
    axes = _axes_of_terms(equation)
    places = None if axes is None else kept.of(equation.invars[0])[axes[0]]
    if axes is None or places is None or places.all():
        return None
    inputs, (out,) = [kept.known(atom) for atom in equation.invars], equation.outvars
    if equation.primitive.name == "reduce_sum":
        found = _where(~places, inputs[0].numbers, axes[0]).sum(axes[0])
    else:
        x, kernel = factors(equation, inputs)
        going = _where(~places, x.numbers, axes[0])
        if reads_zeros(equation) or equation.params.get("feature_group_count", 1) > 1:
            return _gone_at_places(kept, equation, going, kernel.numbers)
        found = sum_of_products(equation, going, _where(~places, kernel.numbers, axes[1]))
    if not found.any():
        return None
    for axis, stay in enumerate(kept.of(out)):
        if stay is not None and found.shape[axis] > 1:
            found = np.compress(stay, found, axis)
    return np.asarray(found, out.aval.dtype)


def _gone_at_places(kept: Kept, equation: Any, x: np.ndarray, kernel: np.ndarray) -> Any:
    """What channels that go add to a convolution: those of an image of ones, as all are one."""
    from_x, (last, first, *_), _ = equation.params["dimension_numbers"]
    groups, atom = equation.params["feature_group_count"], equation.invars[1]
    rows = np.moveaxis(np.broadcast_to(kernel, atom.aval.shape), (first, last), (-2, -1))
    of_filters = np.repeat(x.reshape(groups, -1), rows.shape[-1] // groups, axis=0).T
    joint = np.moveaxis((rows * of_filters).sum(-2, keepdims=True), (-2, -1), (first, last))
    if not joint.any():
        return None
    stay = kept.of(atom)[last]
    joint = joint if stay is None else np.compress(stay, joint, last)
    shape = [1] * x.ndim
    for axis in from_x[2:]:
        shape[axis] = equation.invars[0].aval.shape[axis]
    ones, params = jnp.ones(shape, equation.invars[0].aval.dtype), equation.params
    plain = {**params, "feature_group_count": 1}
    return _bound(equation, [ones, joint.astype(atom.aval.dtype)], plain)[0]


def _where(places: np.ndarray, numbers: np.ndarray, axis: int) -> np.ndarray:
    """Numbers of these places of an axis, and 0 at others."""
    sizes = [-1 if place == axis else 1 for place in range(numbers.ndim)]
    return np.asarray(numbers * places.reshape(sizes))


def _axes_of_terms(equation: Any) -> tuple[int, ...] | None:
    """The axis of each input over which a sum goes; None where all of it stays."""
    params = equation.params
    if equation.primitive.name == "reduce_sum":
        return params["axes"] if len(params["axes"]) == 1 else None
    if not is_summed_plainly(equation):
        return None
    if equation.primitive.name == "dot_general":
        ((over_x,), (over_y,)), _ = params["dimension_numbers"]
        return over_x, over_y
    from_x, from_kernel, to_out = params["dimension_numbers"]
    channels, filters = (
        atom.aval.shape[axes[1]]
        for atom, axes in ((equation.invars[0], from_x), (equation.outvars[0], to_out))
    )
    # Of a filter for each channel both go.
    is_each = params["feature_group_count"] == channels == filters
    return None if is_each and channels > 1 else (from_x[1], from_kernel[1])


def _with_sizes(name: str) -> Callable[[Kept, Any], dict[str, Any]]:
    def change(kept: Kept, equation: Any) -> dict[str, Any]:
        return {**equation.params, name: tuple(kept.counts(equation.outvars[0]))}

    return change


def _slice(kept: Kept, equation: Any) -> dict[str, Any]:
    params, starts, ends = equation.params, [], []
    x, sizes = equation.invars[0], kept.counts(equation.outvars[0])
    steps = params["strides"] or (1,) * len(sizes)
    limits = zip(params["start_indices"], params["limit_indices"], strict=True)
    for axis, ((start, end), step) in enumerate(zip(limits, steps, strict=True)):
        places = kept.of(x)[axis]
        if places is not None and step == 1:
            start = int(places[:start].sum())
            end = start + sizes[axis]
        starts.append(start)
        ends.append(end)
    return {**params, "start_indices": tuple(starts), "limit_indices": tuple(ends)}


def _pad(kept: Kept, equation: Any) -> dict[str, Any]:
    x, out, config = equation.invars[0], equation.outvars[0], []
    for axis, (low, high, inside) in enumerate(equation.params["padding_config"]):
        places = kept.of(out)[axis]
        if places is not None and min(low, high) >= 0 and not inside:
            end = low + x.aval.shape[axis]
            low, high = int(places[:low].sum()), int(places[end:].sum())
        config.append((low, high, inside))
    return {**equation.params, "padding_config": tuple(config)}


def _split(kept: Kept, equation: Any) -> dict[str, Any]:
    axis = equation.params["axis"]
    sizes = tuple(kept.counts(one)[axis] for one in equation.outvars)
    return {**equation.params, "sizes": sizes}


def _convolution(kept: Kept, equation: Any) -> dict[str, Any]:
    axis = equation.params["dimension_numbers"][0][1]
    groups, channels = equation.params["feature_group_count"], equation.invars[0].aval.shape[axis]
    if groups > 1 and groups == channels:
        groups = kept.counts(equation.invars[0])[axis]
    return {**equation.params, "feature_group_count": groups}


def _take(kept: Kept, equation: Any) -> dict[str, Any]:
    pairs, sizes = axes_of_slices(equation), [*equation.params["slice_sizes"]]
    for axis, _ in pairs or ():
        sizes[axis] = kept.counts(equation.invars[0])[axis]
    return {**equation.params, "slice_sizes": tuple(sizes)}


_SUMS = ("dot_general", "conv_general_dilated", "reduce_sum")
CHANGES: dict[str, Callable[[Kept, Any], dict[str, Any]]] = {
    "broadcast_in_dim": _with_sizes("shape"),
    "reshape": _with_sizes("new_sizes"),
    "slice": _slice,
    "pad": _pad,
    "split": _split,
    "gather": _take,
    "conv_general_dilated": _convolution,
}
