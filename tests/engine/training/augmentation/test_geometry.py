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
EVERY = {"flip": 0.5, "shift": 1.7, "rotate": 40.0, "scale": 0.3, "shear": 0.4}


@pytest.mark.parametrize("names", [*[[name] for name in EVERY], [*EVERY]])
def test_moved_images_are_those_of_scipy(names):
    change = drawn(Augment(**{name: EVERY[name] for name in names}), DRAWS)

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
    change = drawn(Augment(flip=1.0), DRAWS)
    masks = (IMAGES[..., 0] > 0).astype(np.int32)

    np.testing.assert_array_equal(moved(IMAGES, change), IMAGES[:, :, ::-1])
    np.testing.assert_array_equal(moved_masks(masks, change), masks[:, :, ::-1])


def test_numbers_of_0_that_vary_change_no_bit():
    zeros = Augment().model_copy(update=dict.fromkeys(EVERY, jnp.float32(0)))

    found = jax.jit(lambda x: moved(x, drawn(zeros, DRAWS)))(IMAGES)

    np.testing.assert_array_equal(found, IMAGES)
