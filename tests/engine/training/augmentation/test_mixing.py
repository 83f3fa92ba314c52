"""Rows mixed with others of their batch."""

import jax.numpy as jnp
import numpy as np

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.mixing import partners, with_kin, with_swaps


def draws_of(rows, step=0):
    return Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(step)), rows)


def test_swapped_numbers_are_those_of_one_other_row_in_the_same_column():
    x = np.arange(2000 * 4, dtype=np.float32).reshape(2000, 4)

    swapped = np.asarray(with_swaps(x, 0.25, draws_of(2000)))

    is_swapped = swapped != x
    assert abs(is_swapped.mean() - 0.25) < 0.02
    steps = (swapped - x)[is_swapped] // 4 % 2000
    assert len(np.unique(steps)) == 1
    np.testing.assert_array_equal(swapped % 4, x % 4)


def test_partners_are_other_rows_of_the_same_class_in_every_draw():
    y = np.array([0, 1, 0, 2, 1, 0, 1, 0])
    found = np.array([partners(y, draws_of(8, step)) for step in range(50)])

    np.testing.assert_array_equal(y[found], np.broadcast_to(y, found.shape))
    assert (found[:, 3] == 3).all()  # the only row of its class
    others = [row for row in range(8) if row != 3]
    assert (found[:, others] != others).all()
    assert {*found[:, 0]} == {2, 5, 7}


def test_a_share_of_the_rows_lies_between_itself_and_its_partner():
    x = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    y = np.arange(3000) % 3

    mixed = np.asarray(with_kin(x, y, 0.4, draws_of(3000)))

    step, way = mixed - x, x[np.asarray(partners(y, draws_of(3000)))] - x
    weight = (step * way).sum(1) / (way * way).sum(1)
    np.testing.assert_allclose(mixed, x + weight[:, None] * way, atol=1e-4)
    assert abs((step.any(axis=1)).mean() - 0.4) < 0.03
    assert abs(weight[weight > 0].mean() - 0.5) < 0.03
    assert (weight < 1.001).all()
