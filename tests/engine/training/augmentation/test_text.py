"""Texts with words left out or replaced."""

import jax.numpy as jnp
import numpy as np
from scipy.stats import binom, chisquare

from hpo.engine.models.dropout import mask_key
from hpo.engine.training.augmentation.batch import changed
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.text import with_alternatives, without_words
from hpo.spec.sections.techniques.augment import Augment


def test_a_share_of_the_tokens_is_padding_and_the_others_stay():
    x = np.full((3000, 5), 7, np.int32)

    key = mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2))
    found = np.asarray(without_words(x, 0.2, Draws(key, 3000)))

    assert {*found.flat} == {0, 7}
    assert found.dtype == np.int32
    assert abs((found == 0).mean() - 0.2) < 0.01


# The ids 2 and 3 have synonyms, the others none.
SYNONYMS = {2: [4, 5, 6], 3: [7]}
STARTS = [9, 9, 9, 12, 13, 13, 13, 13, 13]
TABLE = np.array([*STARTS, 4, 5, 6, 7], np.int32)


def _draws(rows, first_row=0):
    return Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(2)), rows, first_row)


def _replaced(x, probability):
    return np.asarray(with_alternatives(x, probability, jnp.array(TABLE), _draws(len(x)), 33))


def test_synonyms_are_those_that_numpy_takes_by_the_same_draws():
    x = np.random.default_rng(1).integers(0, 8, (300, 5)).astype(np.int32)
    chance, place = (np.asarray(_draws(300).uniform(number, (5,))) for number in (33, 34))
    expected = x.copy()
    for at, word in np.ndenumerate(x):
        own = SYNONYMS.get(int(word), [])
        if own and chance[at] < 0.4:
            expected[at] = own[int(np.floor(place[at] * len(own)))]
    np.testing.assert_array_equal(_replaced(x, 0.4), expected)


def test_at_probability_1_every_word_with_synonyms_is_one_of_them_equally_often():
    x = np.random.default_rng(1).integers(0, 8, (3000, 5)).astype(np.int32)
    found = _replaced(x, 1.0)
    assert found.dtype == np.int32
    assert {*found[x == 2]} == {4, 5, 6}
    assert {*found[x == 3]} == {7}
    others = ~np.isin(x, [*SYNONYMS])
    np.testing.assert_array_equal(found[others], x[others])
    counts = np.bincount(found[x == 2])[4:7]
    assert chisquare(counts).pvalue > 1e-4


def test_the_share_of_replaced_words_is_binomial_and_that_of_probability_0_is_none():
    x = np.full((3000, 5), 2, np.int32)
    changed = int((_replaced(x, 0.1) != x).sum())
    low, high = binom.interval(0.9999, x.size, 0.1)
    assert low <= changed <= high
    np.testing.assert_array_equal(_replaced(x, 0.0), x)


def test_synonyms_and_homophones_are_drawn_by_themselves():
    augment = Augment(synonyms=0.5, homophones=0.5)
    other = np.array([9, 9, 9, 10, 10, 10, 10, 10, 10, 4], np.int32)  # of 2: 4
    x, draws = np.full((64, 5), 2, np.int32), _draws(64)
    both = {"synonyms": jnp.array(TABLE), "homophones": jnp.array(other)}
    found = changed(augment, {"x": x}, draws, 0, {}, both)["x"]
    # Homophones come after synonyms, and the id 2 has one that no synonym is.
    first = _replaced(x, 0.5)
    is_alike = (np.asarray(draws.uniform(35, (5,))) < 0.5) & (first == 2)
    np.testing.assert_array_equal(found, np.where(is_alike, 4, first))
    assert 0 < is_alike.sum() < (first == 2).sum()


def test_the_draws_of_a_row_depend_on_its_place_in_the_whole_batch_alone():
    x = np.full((8, 5), 2, np.int32)
    half = with_alternatives(x[4:], 0.5, jnp.array(TABLE), _draws(4, 4), 33)
    np.testing.assert_array_equal(half, _replaced(x, 0.5)[4:])
