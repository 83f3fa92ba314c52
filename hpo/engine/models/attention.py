"""Attention of several heads: each place reads the places that it may see."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float


def attention(
    query: Float[Array, "B T H D"],
    key: Float[Array, "B S H D"],
    value: Float[Array, "B S H D"],
    seen: Bool[Array, "#B 1 #T S"] | None = None,
) -> Float[Array, "B T H D"]:
    """The mean of the values, weighted by how well their keys fit each query.

    A place that is not `seen` has the weight 0; if none is, the mean is 0. Weights are computed in
    float32.

    Source: Vaswani et al. 2017, "Attention is all you need" (arXiv:1706.03762), Equation 1.
    """
    fits = jnp.einsum("bthd,bshd->bhts", query, key, preferred_element_type=jnp.float32)
    fits = fits * np.float32(1 / math.sqrt(query.shape[-1]))
    if seen is not None:
        fits = jnp.where(seen, fits, np.finfo(np.float32).min)
    weights = jax.nn.softmax(fits, axis=-1)
    if seen is not None:
        # Where no place is seen, the softmax gives the same weight to all.
        weights = jnp.where(seen, weights, 0.0)
    return jnp.einsum("bhts,bshd->bthd", weights.astype(value.dtype), value)


def earlier(length: int) -> Bool[Array, "1 1 T T"]:
    """Whether a place sees another one: itself and those before it."""
    places = jnp.arange(length)
    return (places <= places[:, None])[None, None]


class Attention(nnx.Module):  # type: ignore[misc]
    """Attention of a sequence to itself, with one product for all queries, keys and values.

    Each of the `heads` has `width / heads` numbers, rounded up; an even number of them if it is
    `rotary`.

    Source: Vaswani et al. 2017, "Attention is all you need", Section 3.2.2.
    """

    def __init__(
        self, width: int, heads: int, dtype: Any, rngs: nnx.Rngs, *, rotary: bool = False
    ) -> None:
        own = head_size(width, heads, rotary=rotary)
        self.heads, self.rotary = heads, rotary
        self.joint = nnx.Linear(width, 3 * heads * own, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(heads * own, width, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B T N"], seen: Bool[Array, "#B 1 #T T"] | None = None
    ) -> Float[Array, "B T N"]:
        """What each place reads from those that it sees."""
        rows, length, _ = x.shape
        parts = self.joint(x).reshape(rows, length, 3, self.heads, -1)
        query, key, value = (parts[:, :, part] for part in range(3))
        if self.rotary:
            query, key = rotated(query), rotated(key)
        return self.out(attention(query, key, value, seen).reshape(rows, length, -1))


def head_size(width: int, heads: int, *, rotary: bool = False) -> int:
    """The numbers of a head."""
    size = -(-width // heads)
    return size + size % 2 if rotary else size


def rotated(x: Float[Array, "B T H D"]) -> Float[Array, "B T H D"]:
    """`x` with each pair of numbers of a head turned by an angle that grows with the place.

    So the product of a query and a key depends on how far apart they are. The pairs are those of
    the first half and the second.

    Source: Su et al. 2021, "RoFormer: enhanced transformer with rotary position embedding"
    (arXiv:2104.09864), Equation 34.
    """
    half = x.shape[-1] // 2
    angles = _angles(x.shape[1], half)[:, None]
    cosine, sine = (jnp.asarray(turn(angles), x.dtype) for turn in (np.cos, np.sin))
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)


def sinusoids(length: int, width: int) -> np.ndarray:
    """Sines and cosines of each place, float64 `[length, width]`: one after the other.

    Source: Vaswani et al. 2017, "Attention is all you need", Section 3.5.
    """
    angles = _angles(length, -(-width // 2))
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)[:, :width]


def _angles(length: int, waves: int) -> np.ndarray:
    """The angle of each place on each wave; wavelengths grow from 2 pi to 10,000 times as much."""
    return np.arange(length)[:, None] / 10_000.0 ** (np.arange(waves) / waves)
