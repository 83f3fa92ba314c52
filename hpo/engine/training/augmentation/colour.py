"""The colours of images changed at random, on their pixels as read instead of as scaled."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from hpo.engine.program import is_off
from hpo.engine.training.augmentation.draws import Draws
from hpo.spec.sections.techniques.augment import COLOURS, POLICIES, Augment

# The grey of red, green and blue by ITU-R BT.601.
_GREY = (0.299, 0.587, 0.114)


def recolours(augment: Augment) -> bool:
    """Whether an augmentation changes pixels as read."""
    return not all(is_off(getattr(augment, name)) for name in (*COLOURS, *POLICIES))


def recoloured(
    x: Float[Array, "B H W C"], augment: Augment, draws: Draws, black: Any, white: Any
) -> Float[Array, "B H W C"]:
    """Images with other colours, whose darkest and brightest pixels are `black` and `white`, `[C]`.

    What leaves this range is cut off at its ends. The numbers of all but noise may be arrays, one
    for each image.
    """
    strength = sum(getattr(augment, name) for name in COLOURS)
    pixels = (x - black) / (white - black)
    for name, number in (("brightness", 18), ("contrast", 19), ("saturation", 20)):
        share = getattr(augment, name)
        if not is_off(share):
            factor = (1 + share * draws.symmetric(number))[:, None, None, None]
            pixels = jnp.clip(_toward(name, pixels, factor), 0, 1)
    if not is_off(augment.hue):
        turned = with_hue(pixels, (augment.hue * draws.symmetric(21))[:, None, None])
        pixels = jnp.where(_of_images(augment.hue) > 0, turned, pixels)
    if not is_off(augment.shot_noise):
        # A normal of the variance of photons that are counted: it rises with the mean.
        spread = jnp.sqrt(augment.shot_noise * jnp.clip(pixels, 0, 1))
        pixels = jnp.clip(pixels + spread * draws.normal(22, x.shape[1:]), 0, 1)
    if not is_off(augment.salt_pepper):
        at, half = draws.uniform(23, x.shape[1:3])[..., None], augment.salt_pepper / 2
        pixels = jnp.where(at < half, 0.0, jnp.where(at >= 1 - half, 1.0, pixels))
    # There and back again would round.
    return jnp.where(_of_images(strength) > 0, black + pixels * (white - black), x)


def grey(pixels: Float[Array, "... C"]) -> Float[Array, "... 1"]:
    """The grey of pixels: of three colours that of ITU-R BT.601, else the mean of the channels."""
    if pixels.shape[-1] != len(_GREY):
        return pixels.mean(-1, keepdims=True)
    return (pixels * jnp.array(_GREY, pixels.dtype)).sum(-1, keepdims=True)


def with_hue(pixels: Float[Array, "B H W 3"], turn: Any) -> Float[Array, "B H W 3"]:
    """Colours of red, green and blue turned by this share of the colour circle."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    value, chroma = pixels.max(-1), pixels.max(-1) - pixels.min(-1)
    divisor = jnp.where(chroma > 0, chroma, 1.0)
    sixth = jnp.where(
        value == red,
        (green - blue) / divisor,
        jnp.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    # How far each channel is below the brightest one, by its place on the circle.
    places = (sixth + 6 * turn)[..., None] + jnp.array([5.0, 3.0, 1.0])
    places = places % 6
    below = jnp.clip(jnp.minimum(places, 4 - places), 0, 1)
    return value[..., None] - chroma[..., None] * below


def _of_images(number: Any) -> Float[Array, "B 1 1 1"]:
    """A number, or one for each image, beside pixels."""
    return jnp.reshape(number, (-1, 1, 1, 1))


def _toward(name: str, pixels: Array, factor: Any) -> Array:
    """Pixels whose difference from black, or from a grey, is multiplied."""
    if name == "brightness":
        return pixels * factor
    middle = grey(pixels)
    if name == "contrast":
        middle = middle.mean((1, 2), keepdims=True)
    return pixels + (factor - 1) * (pixels - middle)
