"""What the cells of a column are."""

import pandas as pd
import pytest

from hpo.data.overview.kinds import kinds_of


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1.5, 2.0, None], "number"),
        ([1.0, 2.0, None], "whole"),
        ([None, None], "empty"),
        ([True, False, True], "boolean"),
        (["yes", "no", "no"], "boolean"),
        (["Y", "N", None], "boolean"),
        (["a", "b", "a"], "category"),
        (["15-19", "20-24"], "category"),  # ages, and no dates
        (["2024-01-31", "2024-02-01"], "date"),
        (["1949-01", "1949-02"], "date"),
        (["31.01.2024", "01.02.2024"], "date"),
        (["2024-01-31 10:00:00", None], "date"),
        (["2024-01-31", "later"], "category"),
        ([f"the dog number {n} is here" for n in range(30)], "text"),
        (["很快好吃味道足量大没有送水没有" + chr(0x4E00 + n) for n in range(30)], "text"),
        (["a text of four words"] * 30, "category"),  # the same one everywhere
    ],
)
def test_cells_have_a_kind(cells, kind):
    (found,) = kinds_of(pd.DataFrame({"a": cells}))
    assert found.kind == kind


def test_gaps_and_different_cells_are_counted():
    frame = pd.DataFrame({"a": [2.0, None, 2.0, 5.0], "b": ["x", None, None, "x"]})
    numbers, texts = kinds_of(frame)

    assert (numbers.gaps, numbers.distinct, numbers.example) == (1, 2, "2")
    assert (texts.gaps, texts.distinct, texts.example) == (2, 1, "x")
    assert (numbers.low, numbers.high) == (2.0, 5.0)


@pytest.mark.parametrize(
    ("cells", "rises"), [([1, 2, 2], True), ([1, 3, 2], False), (["2024-01", "2023-05"], False)]
)
def test_a_column_in_order_is_known(cells, rises):
    (found,) = kinds_of(pd.DataFrame({"a": cells}))
    assert found.rises == rises
