"""Texts with words left out."""

import jax.numpy as jnp
import numpy as np

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.text import without_words


def test_a_share_of_the_tokens_is_padding_and_the_others_stay():
    x = np.full((3000, 5), 7, np.int32)

    key = mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2))
    found = np.asarray(without_words(x, 0.2, Draws(key, 3000)))

    assert {*found.flat} == {0, 7}
    assert found.dtype == np.int32
    assert abs((found == 0).mean() - 0.2) < 0.01
