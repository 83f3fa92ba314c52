"""A running text as the rows of a language model."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.data.source import Source
from hpo.data.transforms.transform import FittedTransform
from hpo.errors import HpoError
from hpo.spec.sections.data import TextFile
from hpo.trained.kinds.tokens import known_tokens, token_rows

TEXT = TextFile.model_validate({"text": "text.txt", "length": 3})
FIT = FittedTransform(more={"token_code": np.array([*map(ord, "abc")], np.int32)})


def _source(text: str) -> Source:
    codes = np.array([*map(ord, text)])
    return Source(x=codes, y=codes, target="new.txt", is_text=True)


def test_a_row_begins_where_the_one_before_it_ends_and_is_asked_for_the_next_tokens() -> None:
    rows = token_rows(_source("abcabcba"), TEXT, FIT, 3)
    assert rows.x.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert rows.y.tolist() == [[1, 2, 0], [1, 2, 1]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("abc", r"new\.txt: has 3 tokens, and a row has 3: give a longer text"),
        ("abcabd", r"new\.txt: holds a character that the model does not know"),
    ],
)
def test_a_text_that_does_not_suit_is_refused(text: str, told: str) -> None:
    with pytest.raises(HpoError, match=told):
        token_rows(_source(text), TEXT, FIT, 3)


def test_a_model_that_trained_with_unknown_characters_knows_their_token() -> None:
    assert token_rows(_source("abd?abc"), TEXT, FIT, 4).x.tolist() == [[0, 1, 3], [3, 0, 1]]
    assert known_tokens(np.array([0, 3]), 4, "here").tolist() == [0, 3]
