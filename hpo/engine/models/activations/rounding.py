"""What layers read, in few bits: `compression.activations.bits`.

A layer keeps the range of what it has read among the variables of its model, or a step between
levels. So the rounding of a row depends on no other row of its batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jaxtyping import Array, Float

from hpo.engine.models.activations import learned
from hpo.errors import HpoError

# The part of a range that stays in each step, as in our batch norms: short epochs have few steps.
_KEPT = 0.9
# Tables of vectors, whose rows are read and not multiplied.
_TABLES = ("embedding", "positions")


# What decides the levels: the range of what a layer reads, or a step that is trained.
Kind: TypeAlias = Literal["integer", "learned"]


class Range(nnx.Variable):  # type: ignore[misc]
    """One end of the range of what a layer reads, or another number that decides its levels."""


class Rounder(nnx.Module):  # type: ignore[misc]
    """Rounds what one layer reads, by the range that it has followed in training.

    As the `dot_general` of a dense layer of Flax it multiplies, too.
    """

    def __init__(self) -> None:
        self.low, self.high = Range(jnp.zeros(())), Range(jnp.zeros(()))

    def __call__(self, x: Float[Array, "..."], kernel: Array, *how: Any, **named: Any) -> Array:
        """The product of rounded inputs and a kernel, as `lax.dot_general` gives it."""
        return lax.dot_general(self.rounded(x, kernel), kernel, *how, **named)

    def rounded(self, x: Float[Array, "..."], _: Array) -> Float[Array, "..."]:
        """The inputs of the layer, rounded; in training the range then moves towards theirs."""
        how = _HOW.get()
        assert how is not None, "only the forward pass calls a model"
        low, high = self.low[...], self.high[...]
        if how.is_training:
            seen = lax.stop_gradient(x).astype(jnp.float32)
            kept = jnp.where(low < high, how.kept, 0.0)
            # With 0 in each range, the zeros that pad a narrower model change none.
            self.low.set_value(kept * low + (1 - kept) * jnp.minimum(seen.min(), 0.0))
            self.high.set_value(kept * high + (1 - kept) * jnp.maximum(seen.max(), 0.0))
        if how.is_named:
            return _named(x, levels_of(float(low), float(high), int(how.bits)))
        return in_levels(x, low, high, how.bits)


class StepRounder(nnx.Module):  # type: ignore[misc]
    """Rounds what the layer of a name reads, by a step that is trained: see `learned`.

    Its variables are the step for some number of bits, which the first batch in training decides,
    and the least number that it has read. What training adds to the step is among the weights.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.step, self.least, self.bits = (Range(jnp.zeros(())) for _ in range(3))

    def __call__(self, x: Float[Array, "..."], kernel: Array, *how: Any, **named: Any) -> Array:
        """The product of rounded inputs and a kernel, as `lax.dot_general` gives it."""
        return lax.dot_general(self.rounded(x, kernel), kernel, *how, **named)

    def rounded(self, x: Float[Array, "..."], kernel: Array) -> Float[Array, "..."]:
        """The inputs of the layer, rounded; as they are before a batch has decided the step."""
        how = _HOW.get()
        assert how is not None, "only the forward pass calls a model"
        step, least, bits = self.step[...], self.least[...], how.bits
        if how.is_named:
            is_known = float(self.bits[...]) == bits
            return _named(x, step_levels(float(step), float(least), bits) if is_known else None)
        is_known = self.bits[...] == bits
        added = how.added[self.name][0] if self.name in how.added else 0.0
        features = _features(x, kernel) if how.is_training else None
        used = jnp.where(is_known, learned.used_step(step, added), 1.0)
        found = learned.in_steps(x, used, bits, least < 0, features)
        if how.is_training:
            seen = lax.stop_gradient(x).astype(jnp.float32)
            least = jnp.minimum(least, seen.min())
            # Only a first batch takes the mean of its sizes.
            first = lax.cond(
                is_known,
                lambda: jnp.zeros(()),
                lambda: learned.first_step(seen, bits, least < 0, features),
            )
            # A layer of zeros has no weights that tell its own features from padding.
            is_new = ~is_known & (first > 0) & (kernel != 0).any()
            self.step.set_value(jnp.where(is_new, first - lax.stop_gradient(added), step))
            self.least.set_value(least)
            self.bits.set_value(jnp.where(is_new, bits, self.bits[...]))
        return jnp.where(is_known, found, x)


def _features(x: Float[Array, "B ... N"], kernel: Array) -> Array:
    """The features that a layer reads of each row; those without weights are padding."""
    axes = tuple(axis for axis in range(kernel.ndim) if axis != kernel.ndim - 2)
    count = (jnp.abs(kernel).max(axes) > 0).sum()
    groups = x.shape[-1] // kernel.shape[-2]
    return jnp.maximum(count, 1) * groups * math.prod(x.shape[1:-1])


class _How(NamedTuple):
    """The bits of a forward pass; in training, the part of each range that stays.

    `added` is what training has added to the steps of layers, by their names. With `is_named` a
    rounding is one operation of a traced function, for those who translate it.
    """

    bits: Any
    is_training: bool
    kept: Any
    added: Mapping[str, Array]
    is_named: bool


_HOW: ContextVar[_How | None] = ContextVar("how", default=None)
_NAMES: ContextVar[bool] = ContextVar("names", default=False)
_NAMED = Primitive("in_levels")
_NAMED.def_abstract_eval(lambda x, **_: ShapedArray(x.shape, x.dtype))


@contextmanager
def named_rounding() -> Iterator[None]:
    """Within this block, JAX traces a rounding as one operation, `in_levels`, and runs it alone.

    Its parameters are the fields of `Levels`.
    """
    token = _NAMES.set(True)
    try:
        yield
    finally:
        _NAMES.reset(token)


@contextmanager
def rounding(
    bits: Any,
    *,
    is_training: bool,
    kept: Any = None,
    added: Mapping[str, Float[Array, " 1"]] | None = None,
) -> Iterator[None]:
    """Within this block, layers with a rounder round what they read to these bits.

    `added` is what training has added to their steps, by the names of layers.
    """
    kept = _KEPT if kept is None else kept
    token = _HOW.set(_How(bits, is_training, kept, added or {}, _NAMES.get()))
    try:
        yield
    finally:
        _HOW.reset(token)


def in_levels(x: Float[Array, "..."], low: Any, high: Any, bits: Any) -> Float[Array, "..."]:
    """Numbers as one of 2^bits levels between `low` and `high`; 0 is one of them.

    The gradient passes inside the range and is 0 outside. Without a range, numbers stay as they
    are.

    Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference" (arXiv:1712.05877), Equation 12 and Section 3.1.
    """
    scale, unit, each, zero, most = _levels(low, high, bits)
    wide = x.astype(jnp.float32)
    codes = jnp.clip(jnp.round(wide * each) + zero, 0, most) - zero
    is_inside = (wide >= -zero * unit) & (wide <= (most - zero) * unit)
    passed = jnp.where(is_inside, wide, lax.stop_gradient(wide))
    # The difference is 0, and has the gradient.
    rounded = lax.stop_gradient(codes * unit) + (passed - lax.stop_gradient(wide))
    return jnp.where(scale > 0, rounded, wide).astype(x.dtype)


class Levels(NamedTuple):
    """The levels of a layer: `unit` times whole numbers from `-zero` on, up to `most - zero`.

    `each` is one by `unit`, as numbers are multiplied by it before they are rounded. Both are
    numbers of float32.
    """

    unit: float
    each: float
    zero: int
    most: int


def levels_of(low: float, high: float, bits: int) -> Levels | None:
    """The levels to which `in_levels` rounds, to the bit; None without a range."""
    with jax.ensure_compile_time_eval():
        scale, unit, each, zero, most = _levels(np.float32(low), np.float32(high), bits)
        return Levels(float(unit), float(each), int(zero), most) if scale > 0 else None


def step_levels(step: float, least: float, bits: int) -> Levels:
    """The levels of a step that was trained, to which `learned.in_steps` rounds, to the bit."""
    with jax.ensure_compile_time_eval():
        below, most = learned.ends(bits, least < 0)
        unit = learned.used_step(jnp.float32(step), 0.0)
        return Levels(float(unit), float(1 / unit), int(below), int(below + most))


def _to_levels(x: Array, unit: float, each: float, zero: int, most: int) -> Array:
    """Numbers as the nearest of levels, whose fields these are."""
    return (jnp.clip(jnp.round(x * each) + zero, 0, most) - zero) * unit


_NAMED.def_impl(_to_levels)


def _named(x: Array, levels: Levels | None) -> Array:
    """A rounding as one operation; none without levels."""
    if levels is None:
        return x
    named: Array = _NAMED.bind(x, **levels._asdict())
    return named


def _levels(low: Any, high: Any, bits: Any) -> tuple[Any, ...]:
    # exp2 may be off by a rounding.
    most = 2**bits - 1 if isinstance(bits, int) else jnp.round(jnp.exp2(bits)) - 1
    # Products, because the compiler turns divisions by constants alone into such.
    scale = (high - low) * (1 / most)
    unit = jnp.where(scale > 0, scale, 1.0)
    each = 1 / unit
    return scale, unit, each, jnp.round(-low * each), most


def with_rounders(model: Any, name: str, kind: Kind) -> Any:
    """A model whose dense layers and convolutions have a rounder each; a spec calls it `name`.

    The name of a layer is its path, such as `linears/0`.

    Raises:
        HpoError: for a model that multiplies by other weights, too.
    """
    parts = [*nnx.iter_graph(model)]
    rounders = set()
    for path, part in parts:
        layer = "/".join(map(str, path))
        rounder = StepRounder(layer) if kind == "learned" else Rounder()
        if isinstance(part, nnx.Linear):
            part.dot_general = nnx.data(rounder)
        elif hasattr(part, "rounder"):
            part.rounder = nnx.data(rounder)
        else:
            continue
        rounders.add(path)
    for path, part in parts:
        is_weights = isinstance(part, nnx.Param) and part.ndim > 1 and path[-1] not in _TABLES
        if is_weights and path[:-1] not in rounders:
            raise HpoError(
                "compression.activations.bits: rounds what dense layers and convolutions read, and "
                f"model.name: '{name}' has other products, as with {'/'.join(map(str, path))}: use "
                "another model, or remove it."
            )
    return model
