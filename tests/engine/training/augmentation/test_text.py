"""Texts with words left out or replaced."""

import jax.numpy as jnp
import numpy as np
from scipy.stats import binom, chisquare

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.text import with_other_words, without_words


def test_a_share_of_the_tokens_is_padding_and_the_others_stay():
    x = np.full((3000, 5), 7, np.int32)

    key = mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2))
    found = np.asarray(without_words(x, 0.2, Draws(key, 3000)))

    assert {*found.flat} == {0, 7}
    assert found.dtype == np.int32
    assert abs((found == 0).mean() - 0.2) < 0.01


# The ids 2 and 3 have alternatives, the others none.
WORDS = np.array([[0, 0, 0], [0, 0, 0], [4, 5, 6], [7, 0, 0], *[[0, 0, 0]] * 4], np.int32)
COUNTS = np.array([0, 0, 3, 1, 0, 0, 0, 0], np.int32)


def _replaced(x, probability):
    draws = Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2)), len(x))
    found = with_other_words(x, probability, jnp.array(WORDS), jnp.array(COUNTS), draws, 30)
    return np.asarray(found)


def test_at_probability_1_every_word_with_alternatives_is_one_of_them_equally_often():
    x = np.random.default_rng(1).integers(0, 8, (3000, 5)).astype(np.int32)
    found = _replaced(x, 1.0)
    assert found.dtype == np.int32
    assert {*found[x == 2]} == {4, 5, 6}
    assert {*found[x == 3]} == {7}
    np.testing.assert_array_equal(found[COUNTS[x] == 0], x[COUNTS[x] == 0])
    counts = np.bincount(found[x == 2])[4:7]
    assert chisquare(counts).pvalue > 1e-4


def test_the_share_of_replaced_words_is_binomial_and_that_of_probability_0_is_none():
    x = np.full((3000, 5), 2, np.int32)
    changed = int((_replaced(x, 0.1) != x).sum())
    low, high = binom.interval(0.9999, x.size, 0.1)
    assert low <= changed <= high
    np.testing.assert_array_equal(_replaced(x, 0.0), x)


def test_the_draws_of_a_row_depend_on_its_place_in_the_whole_batch_alone():
    x = np.full((8, 5), 2, np.int32)
    key = mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2))
    words, counts = jnp.array(WORDS), jnp.array(COUNTS)
    half = with_other_words(x[4:], 0.5, words, counts, Draws(key, 4, 4), 30)
    np.testing.assert_array_equal(half, _replaced(x, 0.5)[4:])
