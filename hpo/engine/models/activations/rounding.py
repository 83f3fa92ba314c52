"""What layers read, in few bits: `compression.activations.bits`.

A layer keeps the range of what it has read among the variables of its model. So the rounding of a
row depends on no other row of its batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jaxtyping import Array, Float

from hpo.errors import HpoError

# The part of a range that stays in each step, as in our batch norms: short epochs have few steps.
_KEPT = 0.9
# Tables of vectors, whose rows are read and not multiplied.
_TABLES = ("embedding", "positions")


class Range(nnx.Variable):  # type: ignore[misc]
    """One end of the range of what a layer reads."""


class Rounder(nnx.Module):  # type: ignore[misc]
    """Rounds what one layer reads, by the range that it has followed in training.

    As the `dot_general` of a dense layer of Flax it multiplies, too.
    """

    def __init__(self) -> None:
        self.low, self.high = Range(jnp.zeros(())), Range(jnp.zeros(()))

    def __call__(self, x: Float[Array, "..."], kernel: Array, *how: Any, **named: Any) -> Array:
        """The product of rounded inputs and a kernel, as `lax.dot_general` gives it."""
        return lax.dot_general(self.rounded(x), kernel, *how, **named)

    def rounded(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
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
            named: Array = _NAMED.bind(x, low=float(low), high=float(high), bits=int(how.bits))
            return named
        return in_levels(x, low, high, how.bits)


class _How(NamedTuple):
    """The bits of a forward pass; in training, the part of each range that stays.

    With `is_named` a rounding is one operation of a traced function, for those who translate it.
    """

    bits: Any
    is_training: bool
    kept: Any
    is_named: bool = False


_HOW: ContextVar[_How | None] = ContextVar("how", default=None)
_NAMES: ContextVar[bool] = ContextVar("names", default=False)
_NAMED = Primitive("in_levels")
_NAMED.def_abstract_eval(lambda x, **_: ShapedArray(x.shape, x.dtype))


@contextmanager
def named_rounding() -> Iterator[None]:
    """Within this block, JAX traces a rounding as one operation, `in_levels`, and runs it alone.

    It has the parameters `low`, `high` and `bits`, which are those of `levels_of`.
    """
    token = _NAMES.set(True)
    try:
        yield
    finally:
        _NAMES.reset(token)


@contextmanager
def rounding(bits: Any, *, is_training: bool, kept: Any = None) -> Iterator[None]:
    """Within this block, layers with a rounder round what they read to these bits."""
    kept = _KEPT if kept is None else kept
    token = _HOW.set(_How(bits, is_training, kept, _NAMES.get()))
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


_NAMED.def_impl(in_levels)


class Levels(NamedTuple):
    """The levels of a range: `unit` times whole numbers from `-zero` on, up to `most - zero`.

    `each` is one by `unit`, as numbers are multiplied by it before they are rounded.
    """

    unit: np.ndarray
    each: np.ndarray
    zero: int
    most: int


def levels_of(low: float, high: float, bits: int) -> Levels | None:
    """The levels to which `in_levels` rounds, to the bit; None without a range."""
    scale, unit, each, zero, most = _levels(np.float32(low), np.float32(high), bits)
    if not scale > 0:
        return None
    return Levels(np.asarray(unit), np.asarray(each), int(zero), most)


def _levels(low: Any, high: Any, bits: Any) -> tuple[Any, ...]:
    # exp2 may be off by a rounding.
    most = 2**bits - 1 if isinstance(bits, int) else jnp.round(jnp.exp2(bits)) - 1
    # Products, because the compiler turns divisions by constants alone into such.
    scale = (high - low) * (1 / most)
    unit = jnp.where(scale > 0, scale, 1.0)
    each = 1 / unit
    return scale, unit, each, jnp.round(-low * each), most


def with_rounders(model: Any, name: str) -> Any:
    """A model whose dense layers and convolutions have a rounder each; a spec calls it `name`.

    Raises:
        HpoError: for a model that multiplies by other weights, too.
    """
    parts = [*nnx.iter_graph(model)]
    rounders = set()
    for path, part in parts:
        if isinstance(part, nnx.Linear):
            part.dot_general = nnx.data(Rounder())
        elif hasattr(part, "rounder"):
            part.rounder = nnx.data(Rounder())
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
