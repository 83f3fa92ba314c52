"""What follows `model.activation`: kept to a share of the units, measured, and penalised."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax.numpy as jnp
from jax import lax
from jax.extend.core import get_opaque_trace_state
from jaxtyping import Array, Float, Int

from hpo.engine.program import is_off
from hpo.errors import HpoError

# From an activation and its own number of features to a number, or several.
Measure: TypeAlias = Callable[[Float[Array, "B ... N"], Any], Any]
_Result = TypeVar("_Result")


class Zeros(NamedTuple):
    """The zeros of each row among the units of an activation, and how many units a row has."""

    zeros: Int[Array, " B"]
    units: Any


class _Watch(NamedTuple):
    """What measures activations in a block, what it has found, and where its models are traced."""

    measure: Measure
    leaf: str
    found: list[Any]
    trace: Any


class NoActivationError(HpoError):
    """A model has no activation where one is asked for."""


@dataclass
class _Top:
    """The share of the units that are kept in a block, and whether any activation was there."""

    share: Any
    is_used: bool = False


_WATCHES: ContextVar[tuple[_Watch, ...]] = ContextVar("watches", default=())
_TOP: ContextVar[_Top | None] = ContextVar("top", default=None)


def passed_on(y: Float[Array, "B ... N"], features: Any) -> Float[Array, "B ... N"]:
    """The activations of a layer as the next one reads them; units after `features` are padding."""
    if (top := _TOP.get()) is not None:
        y = largest(y, top.share, features)
        top.is_used = True
    for watch in _WATCHES.get():
        if get_opaque_trace_state() != watch.trace:  # what it finds could not leave there
            raise HpoError(f"{watch.leaf}: does not work with model.remat: set model.remat: false.")
        watch.found.append(watch.measure(y, features))
    return y


@contextmanager
def measured(measure: Measure, leaf: str) -> Iterator[list[Any]]:
    """Within this block, every activation of our models is measured, as a leaf of the spec asks.

    Raises:
        HpoError: at the end of the block, for a model without any.
    """
    watch = _Watch(measure, leaf, [], get_opaque_trace_state())
    token = _WATCHES.set((*_WATCHES.get(), watch))
    try:
        yield watch.found
    finally:
        _WATCHES.reset(token)
    if not watch.found:
        raise without_activation(leaf)


@contextmanager
def only_largest(share: Any) -> Iterator[None]:
    """Within this block, only this share of the units of each activation is kept.

    Raises:
        HpoError: at the end of the block, for a model without any.
    """
    top = _Top(share)
    token = _TOP.set(top)
    try:
        yield
    finally:
        _TOP.reset(token)
    if not top.is_used:
        raise without_activation("compression.activations.top")


def without_activation(leaf: str) -> HpoError:
    """The error for a model without any activation, as a leaf of the spec asks for one."""
    return NoActivationError(f"{leaf}: this model has no model.activation: remove it.")


def largest(y: Float[Array, "B ... N"], share: Any, features: Any) -> Float[Array, "B ... N"]:
    """The units of each position with the largest sizes, the first of equals; others are 0.

    They are this share of the `features` units that are no padding, rounded, and one at least.
    NaN stays, so that a lane that diverged is known by its loss.

    Source: Xiao, Zhong and Zheng 2020, "Enhancing adversarial defense by k-winners-take-all"
    (arXiv:1905.10510), Equation 2, of sizes; and at each position of an image or a text by itself.
    """
    sizes = lax.stop_gradient(jnp.abs(y))
    own = jnp.asarray(share, jnp.float32) * jnp.asarray(features, jnp.float32)
    count = jnp.maximum(jnp.round(own), 1).astype(jnp.int32)
    ordered = jnp.sort(sizes, axis=-1)
    least = lax.dynamic_slice_in_dim(ordered, y.shape[-1] - count, 1, axis=-1)
    above, equal = sizes > least, sizes == least
    missing = count - above.sum(-1, keepdims=True)
    is_kept = above | (equal & (jnp.cumsum(equal, axis=-1) <= missing)) | jnp.isnan(sizes)
    return jnp.where(is_kept, y, jnp.zeros((), y.dtype))


def zeros(y: Float[Array, "B ... N"], features: Any) -> Zeros:
    """The zeros of an activation."""
    is_zero = (y == 0) & (jnp.arange(y.shape[-1]) < features)
    units = math.prod(y.shape[1:-1]) * features
    return Zeros(is_zero.reshape(len(y), -1).sum(1), units)


def penalised(l1: Any, run: Callable[[], _Result]) -> tuple[_Result, Float[Array, ""] | None]:
    """What `run` gives back, and `l1` times the sum of the sizes of a row's activations.

    That is the mean over the rows. Without a penalty it is None.

    Source: Glorot, Bordes and Bengio 2011, "Deep sparse rectifier neural networks" (AISTATS),
    Section 3.1.
    """
    if is_off(l1):
        return run(), None
    with measured(_sizes, "compression.activations.l1") as found:
        result = run()
    return result, l1 * sum(found)


def _sizes(y: Float[Array, "B ... N"], features: Any) -> Float[Array, ""]:
    return jnp.abs(y.astype(jnp.float32)).reshape(len(y), -1).sum(1).mean()
