"""One of several values of a leaf that a merged program serves, chosen by a traced index.

Under `lax.map` a switch runs only the chosen branch, so that the other values cost compile time but
no run time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import lax

from hpo.spec.merging import UpTo


@dataclass(frozen=True)
class OneOf:
    """A leaf's possible values, and the index of the trial's own (None outside a program)."""

    options: tuple[Any, ...]
    index: Any = None


def options_of(value: Any) -> tuple[Any, ...]:
    """The values that a leaf may have; of `UpTo`, the largest."""
    if isinstance(value, UpTo):
        return (value.sizes,)
    return value.options if isinstance(value, OneOf) else (value,)


def choose(value: Any, function: Callable[..., Any], *operands: Any) -> Any:
    """`function(value, *operands)` for the value that the trial has."""
    if not isinstance(value, OneOf):
        return function(value, *operands)

    def branch(option: Any) -> Callable[..., Any]:
        return lambda *operands: function(option, *operands)

    return lax.switch(value.index, [branch(option) for option in value.options], *operands)


def number_of(value: Any, of: Callable[[Any], int]) -> Any:
    """The whole number that `of` computes from a leaf's value; traced if the value is."""
    if not isinstance(value, OneOf):
        return of(value)
    return jnp.asarray([of(option) for option in value.options], jnp.int32)[value.index]
