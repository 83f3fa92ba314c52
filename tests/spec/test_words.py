"""Values in the words of messages."""

import pytest

from hpo.spec.words import count_text, described


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials"), (1500, "1,500 trials")]
)
def test_what_is_counted_is_told_as_one_or_as_many(number, text):
    assert count_text(number, "trial") == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (tuple[int, ...], "a list of whole numbers"),
        (tuple[tuple[float, ...], ...], "a list of lists of numbers"),
        (tuple[dict[str, int], ...], "a list of mappings"),
        (tuple[float, float], "a list of 2 numbers"),
    ],
)
def test_the_items_of_a_list_are_named_in_the_plural(kind, text):
    assert described(kind) == text
