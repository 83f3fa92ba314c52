"""Words and numbers that stand for an empty cell."""

import pandas as pd
import pytest

from hpo.data.overview.gaps import with_gaps


@pytest.mark.parametrize(
    ("cells", "words", "is_number"),
    [
        (["1", "?", "2", "3"], ["?"], True),
        (["1", "n.a.", "-", "3"], ["n.a.", "-"], True),
        ([*map(str, range(19)), "oops"], ["oops"], True),  # one text among many numbers
        (["a", "?", "b", "a"], ["?"], False),
        (["a", "unknown", "b", "a"], [], False),  # of categories, it may be one
        (["1", "2", "x1", "x2", "x3"], [], False),
    ],
)
def test_words_for_gaps_are_found(cells, words, is_number):
    frame, found = with_gaps(pd.DataFrame({"a": cells}))

    assert found == words
    assert frame["a"].isna().tolist() == [cell in words for cell in cells]
    assert pd.api.types.is_numeric_dtype(frame["a"]) == is_number


@pytest.mark.parametrize("word", ["?", "k.A."])
def test_words_among_numbers_with_a_decimal_comma_are_gaps(word):
    cells = pd.DataFrame({"a": [*["1,5", "-2,25", "3"] * 9, word], "b": ["a,b", word] * 14})

    frame, found = with_gaps(cells, has_decimal_comma=True)

    assert found == [word]
    assert frame["a"].tolist()[:3] == [1.5, -2.25, 3.0]
    assert frame["a"].isna().sum() == 1
    assert frame["b"].iloc[0] == "a,b"


def test_a_number_far_below_all_others_is_a_gap():
    frame, found = with_gaps(pd.DataFrame({"a": [1.5, -999, 3], "b": [1, 2, 3]}))
    assert found == [-999]
    assert frame["a"].isna().tolist() == [False, True, False]


def test_a_number_among_others_of_its_size_is_none():
    assert with_gaps(pd.DataFrame({"a": [-999.0, -998.0, -1500.0]}))[1] == []
