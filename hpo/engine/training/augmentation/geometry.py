"""Images moved at random: one bilinear gather for all that moves pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from hpo.engine.program import is_off
from hpo.engine.training.augmentation.draws import Draws
from hpo.spec.sections.techniques.augment import GEOMETRY, Augment


class Affine(NamedTuple):
    """The place in an image that each place of its changed form shows.

    Relative to the middle, it is `matrix` times the place, plus `offset`.
    """

    matrix: Float[Array, "B 2 2"]
    offset: Float[Array, "B 2"]


def moves(augment: Augment) -> bool:
    """Whether an augmentation moves pixels."""
    return not all(is_off(getattr(augment, name)) for name in GEOMETRY)


def drawn(augment: Augment, draws: Draws, size: tuple[int, int]) -> Affine:
    """The change of each image of a height and width: mirrored, scaled, slanted, turned, moved.

    The part that `crop` shows is one of the result. A number may be an array, one for each image.
    """
    one, zero = jnp.ones(draws.rows), jnp.zeros(draws.rows)
    mirror = jnp.where(draws.uniform(0) < augment.flip, -one, one)
    angle = draws.symmetric(1) * jnp.deg2rad(augment.rotate)
    growth = 1 + draws.symmetric(2) * augment.scale
    slant = draws.symmetric(3) * augment.shear
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    turn = _matrix(cosine, sine, -sine, cosine)
    lean = _matrix(one, zero, slant, one)
    stretch = _matrix(1 / growth, zero, zero, mirror / growth)
    # Products of 2 by 2 written out, so that a change of nothing is exactly the identity.
    matrix = _product(_product(turn, lean), stretch)
    offset = jnp.stack([draws.symmetric(4) * augment.shift, draws.symmetric(5) * augment.shift], -1)
    cut = augment.crop * draws.uniform(15)
    place = jnp.stack([draws.symmetric(16), draws.symmetric(17)], -1)
    middle = cut[:, None] * place * (jnp.array(size) - 1) / 2
    offset = offset + (matrix * middle[:, None, :]).sum(-1)
    return Affine(matrix * (1 - cut)[:, None, None], offset)


def moved(x: Float[Array, "B H W C"], change: Affine) -> Float[Array, "B H W C"]:
    """Images after a change, bilinear between pixels; the border goes on beyond the edges."""
    rows, columns = _places(x.shape[1], x.shape[2], change)
    top, left = jnp.floor(rows), jnp.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    upper = _at(x, top, left) * (1 - right) + _at(x, top, left + 1) * right
    lower = _at(x, top + 1, left) * (1 - right) + _at(x, top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


def moved_masks(y: Num[Array, "B H W"], change: Affine) -> Num[Array, "B H W"]:
    """Masks after a change: each pixel has the class of the nearest one."""
    rows, columns = _places(y.shape[1], y.shape[2], change)
    return _at(y[..., None], jnp.round(rows), jnp.round(columns))[..., 0]


def _places(height: int, width: int, change: Affine) -> tuple[Array, Array]:
    """The row and the column that each pixel shows, within the image."""
    middle = (height - 1) / 2, (width - 1) / 2
    r, c = jnp.arange(height)[:, None] - middle[0], jnp.arange(width)[None, :] - middle[1]
    m, offset = change.matrix[:, :, :, None, None], change.offset[:, :, None, None]
    rows = m[:, 0, 0] * r + m[:, 0, 1] * c + offset[:, 0] + middle[0]
    columns = m[:, 1, 0] * r + m[:, 1, 1] * c + offset[:, 1] + middle[1]
    return jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)


def _at(x: Num[Array, "B H W C"], rows: Array, columns: Array) -> Num[Array, "B H W C"]:
    count, height, width, channels = x.shape
    rows = jnp.minimum(rows.astype(jnp.int32), height - 1)
    columns = jnp.minimum(columns.astype(jnp.int32), width - 1)
    places = (rows * width + columns).reshape(count, height * width, 1)
    flat = x.reshape(count, height * width, channels)
    return jnp.take_along_axis(flat, places, axis=1).reshape(x.shape)


def _matrix(a: Any, b: Any, c: Any, d: Any) -> Float[Array, "B 2 2"]:
    return jnp.stack([jnp.stack([a, b], -1), jnp.stack([c, d], -1)], -2)


def _product(a: Float[Array, "B 2 2"], b: Float[Array, "B 2 2"]) -> Float[Array, "B 2 2"]:
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)
