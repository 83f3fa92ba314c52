"""Noise in examples: its size, the shape of a hole, and the columns that it leaves alone."""

import jax.numpy as jnp
import numpy as np

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.noise import with_hole, with_noise, without_numbers

KEY = mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2))


def test_noise_is_normal_and_leaves_codes_alone():
    x = np.full((4000, 6), 2.0, np.float32)

    noisy = np.asarray(with_noise(x, 0.5, Draws(KEY, 4000), codes=2))

    np.testing.assert_array_equal(noisy[:, :2], x[:, :2])
    assert abs(noisy[:, 2:].mean() - 2) < 0.02
    assert abs(noisy[:, 2:].std() - 0.5) < 0.01
    assert abs(np.corrcoef(noisy[:, 2], noisy[:, 3])[0, 1]) < 0.05


def test_a_hole_has_the_share_of_the_sides_where_it_is_inside():
    holes = np.asarray(with_hole(np.ones((500, 8, 8, 1), np.float32), 0.5, Draws(KEY, 500))) == 0

    rows, columns = holes.any(axis=(2, 3)).sum(1), holes.any(axis=(1, 3)).sum(1)
    np.testing.assert_array_equal(holes.sum(axis=(1, 2, 3)), rows * columns)
    assert rows.max() == columns.max() == 4
    assert (rows >= 2).all()
    assert (columns >= 2).all()


def test_a_share_of_the_numbers_of_rows_is_dropped_but_no_code():
    x = np.ones((4000, 5), np.float32)

    kept = np.asarray(without_numbers(x, 0.3, Draws(KEY, 4000), codes=1))

    assert (kept[:, 0] == 1).all()
    assert abs((kept[:, 1:] == 0).mean() - 0.3) < 0.015
