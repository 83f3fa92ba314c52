"""Draws depend on the trial, the step and the row in the batch, not on how the batch is cut."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.draws import Draws


def key_of(stream, step):
    return mask_key(jnp.array([3, stream], jnp.uint32), jnp.int32(step))


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 1)])
def test_a_part_of_a_batch_draws_what_the_whole_batch_does(shape):
    whole = Draws(key_of(4, 2), 12).uniform(1, shape)

    parts = [Draws(key_of(4, 2), 4, first).uniform(1, shape) for first in (0, 4, 8)]

    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert len(np.unique(whole)) == whole.size


def test_trials_steps_and_names_draw_other_numbers():
    found = [
        Draws(key_of(stream, step), 50).uniform(number)
        for stream, step, number in ((4, 2, 1), (5, 2, 1), (4, 3, 1), (4, 2, 2))
    ]
    assert len(np.unique(found)) == 200


def test_normal_numbers_are_normal():
    found = np.asarray(Draws(key_of(4, 2), 5000).normal(6, (4,))).ravel()
    assert stats.kstest(found, "norm").pvalue > 0.01
