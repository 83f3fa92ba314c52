"""Images moved by one gather, against SciPy's affine transforms and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import affine_transform

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.geometry import Affine, drawn, moved, moved_masks
from hpo.spec.sections.techniques.augment import Augment

IMAGES = np.random.default_rng(0).normal(size=(5, 6, 7, 2)).astype(np.float32)
DRAWS = Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2)), 5)
EVERY = {"flip": 0.5, "shift": 1.7, "rotate": 40.0, "scale": 0.3, "shear": 0.4, "crop": 0.5}


@pytest.mark.parametrize("names", [*[[name] for name in EVERY], [*EVERY]])
def test_moved_images_are_those_of_scipy(names):
    change = drawn(Augment(**{name: EVERY[name] for name in names}), DRAWS, (6, 7))

    ours = moved(IMAGES, change)

    middle = (np.array(IMAGES.shape[1:3]) - 1) / 2
    for row, (matrix, offset) in enumerate(zip(*map(np.float64, change), strict=True)):
        for channel in range(2):
            theirs = affine_transform(
                IMAGES[row, :, :, channel].astype(float),
                matrix,
                middle - matrix @ middle + offset,
                order=1,
                mode="nearest",
            )
            np.testing.assert_allclose(ours[row, :, :, channel], theirs, atol=1e-5)
    assert not np.array_equal(ours, IMAGES)


def test_a_quarter_turn_is_that_of_numpy():
    square, cosine, sine = IMAGES[:, :, :6], np.zeros(5), np.ones(5)
    matrix = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], -2)

    ours = moved(square, Affine(matrix, np.zeros((5, 2))))

    np.testing.assert_allclose(ours, np.rot90(square, axes=(1, 2)), atol=1e-6)


def test_a_mirrored_image_is_reversed_and_its_mask_with_it():
    change = drawn(Augment(flip=1.0), DRAWS, (6, 7))
    masks = (IMAGES[..., 0] > 0).astype(np.int32)

    np.testing.assert_array_equal(moved(IMAGES, change), IMAGES[:, :, ::-1])
    np.testing.assert_array_equal(moved_masks(masks, change), masks[:, :, ::-1])


def test_a_crop_shows_a_part_that_lies_within_the_image():
    draws = Draws(DRAWS.key, 500)
    matrix, offset = map(np.asarray, drawn(Augment(crop=0.5), draws, (6, 7)))

    shares, reach = matrix[:, 0, 0], np.array([5, 6]) / 2
    np.testing.assert_array_equal(matrix, shares[:, None, None] * np.eye(2))
    assert 0.5 <= shares.min() < 0.51 < 0.99 < shares.max() <= 1
    assert (np.abs(offset) + shares[:, None] * reach <= reach + 1e-5).all()
    # Most parts are not in the middle.
    assert (np.abs(offset) > 0.2).all(1).mean() > 0.3


def test_numbers_of_0_that_vary_change_no_bit():
    zeros = Augment().model_copy(update=dict.fromkeys(EVERY, jnp.float32(0)))

    found = jax.jit(lambda x: moved(x, drawn(zeros, DRAWS, (6, 7))))(IMAGES)

    np.testing.assert_array_equal(found, IMAGES)
