"""Colours of images, against NumPy and the standard library."""

from __future__ import annotations

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.colour import recoloured, with_hue
from hpo.engine.training.augmentation.draws import Draws
from hpo.spec.sections.techniques.augment import COLOURS, Augment

DRAWS = Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2)), 6)
RAW = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3)).astype(np.float32)
OFFSET, DIVISOR = np.array([120, 100, 90], np.float32), np.array([60, 55, 70], np.float32)
X, BLACK, WHITE = (RAW - OFFSET) / DIVISOR, -OFFSET / DIVISOR, (255 - OFFSET) / DIVISOR


def changed(x=X, draws=DRAWS, **numbers):
    """The pixels as read of images that are changed as scaled."""
    return np.asarray(recoloured(x, Augment(**numbers), draws, BLACK, WHITE)) * DIVISOR + OFFSET


def test_brightness_contrast_and_saturation_are_those_of_numpy_on_pixels_as_read():
    grey = (RAW @ [0.299, 0.587, 0.114])[..., None]
    cases = {
        "brightness": (18, 0.0),
        "contrast": (19, grey.mean((1, 2), keepdims=True)),
        "saturation": (20, grey),
    }
    for name, (number, middle) in cases.items():
        factor = 1 + 0.6 * np.asarray(DRAWS.symmetric(number))[:, None, None, None]
        theirs = np.clip(middle + factor * (RAW - middle), 0, 255)
        np.testing.assert_allclose(changed(**{name: 0.6}), theirs, atol=1e-3)


def test_a_turned_hue_is_that_of_the_standard_library():
    pixels = RAW / 255
    pixels[0, 0] = [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [0, 1, 1]]
    turn = np.linspace(-0.5, 0.5, 6)

    ours = np.asarray(with_hue(pixels, turn[:, None, None]))

    for place in np.ndindex(pixels.shape[:3]):
        hue, saturation, value = colorsys.rgb_to_hsv(*map(float, pixels[place]))
        theirs = colorsys.hsv_to_rgb((hue + turn[place[0]]) % 1, saturation, value)
        np.testing.assert_allclose(ours[place], theirs, atol=1e-5)
    drawn = np.asarray(with_hue(RAW / 255, 0.3 * DRAWS.symmetric(21)[:, None, None]))
    np.testing.assert_allclose(changed(hue=0.3), drawn * 255, atol=1e-2)


def test_shot_noise_has_a_variance_in_proportion_to_the_mean():
    levels = np.array([25.5, 51, 102], np.float32)
    x = np.broadcast_to((levels - OFFSET) / DIVISOR, (3000, 4, 4, 3))

    noisy = changed(x, Draws(DRAWS.key, 3000), shot_noise=0.01) / 255

    np.testing.assert_allclose(noisy.mean((0, 1, 2)), levels / 255, atol=2e-3)
    np.testing.assert_allclose(noisy.var((0, 1, 2)), 0.01 * levels / 255, rtol=0.05)


def test_salt_and_pepper_are_pixels_of_both_ends_in_equal_shares():
    x = np.zeros((1000, 5, 5, 3), np.float32)

    pixels = changed(x, Draws(DRAWS.key, 1000), salt_pepper=0.2)

    is_salt, is_pepper = (np.abs(pixels - end).max(-1) < 1e-3 for end in (255, 0))
    assert abs(is_salt.mean() - 0.1) < 0.01
    assert abs(is_pepper.mean() - 0.1) < 0.01
    rest = pixels[~(is_salt | is_pepper)]
    np.testing.assert_allclose(rest, np.broadcast_to(OFFSET, rest.shape), atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_numbers_of_0_that_vary_change_no_bit(channels):
    names = COLOURS if channels == 3 else [n for n in COLOURS if n not in ("hue", "saturation")]
    zeros = Augment().model_copy(update=dict.fromkeys(names, jnp.float32(0)))
    x, black, white = X[..., :channels], BLACK[:channels], WHITE[:channels]

    found = jax.jit(lambda x: recoloured(x, zeros, DRAWS, black, white))(x)

    np.testing.assert_array_equal(found, x)
