"""Tables that are built piece by piece."""

import numpy as np
import pytest

from hpo.data import mapped
from hpo.data.readers.tables.typed.building import TableBuilder
from hpo.spec.sections.data import JsonLines

NAN = np.nan


@pytest.fixture(params=[mapped.LARGE_BYTES, 1], ids=["in memory", "in files"])
def builder(request, monkeypatch):
    """A builder whose arrays lie in memory, or all in mapped files."""
    monkeypatch.setattr(mapped, "LARGE_BYTES", request.param)
    return TableBuilder(JsonLines(jsonl="t", target="y", missing=(7,)), 3)


def cells(builder, name, rows):
    column = builder.frame(rows)[name]
    return column.astype(object).where(column.notna(), None).tolist()


def test_a_column_gets_a_type_that_holds_the_cells_of_all_pieces(builder):
    builder.put("a", 0, np.array([1, -2], np.int8))
    builder.put("a", 2, np.array([2**40]))
    builder.put("b", 0, np.array([1, 2, 3]))
    builder.put("b", 3, np.array([0.5]))
    frame = builder.frame(4)
    np.testing.assert_array_equal(frame["a"], [1, -2, 2**40, NAN])
    np.testing.assert_array_equal(frame["b"], [1, 2, 3, 0.5])


def test_rows_without_a_cell_are_empty_before_between_and_after_the_others(builder):
    builder.put_texts("t", 2, np.array([0, 1]), ["b", "a"])
    builder.put_texts("t", 5, np.array([0]), ["a"])
    builder.put_truths("w", 1, np.array([1], np.int8))
    builder.put("d", 1, np.array(["2024-01-31"], "datetime64[us]"))
    frame = builder.frame(7)
    assert frame["t"].isna().tolist() == [True, True, False, False, True, False, True]
    assert frame["t"].dropna().tolist() == ["b", "a", "a"]
    assert frame["w"].isna().tolist() == [True, False, *[True] * 5]
    assert frame["d"].isna().tolist() == [True, False, *[True] * 5]


def test_missing_numbers_and_texts_are_empty_cells(builder):
    builder.put("a", 0, np.array([6, 7, 8]))
    builder.put_texts("b", 0, np.array([0, 1, 2]), ["7", "x", ""])
    frame = builder.frame(3)
    np.testing.assert_array_equal(frame["a"], [6, NAN, 8])
    assert frame["b"].isna().tolist() == [True, False, True]


def test_a_column_of_several_types_becomes_texts_and_is_not_typed(builder):
    builder.put("a", 0, np.array([1.0, 2.5, NAN]))
    builder.put_texts("a", 3, np.array([0]), ["x"])
    builder.put_truths("a", 4, np.array([0], np.int8))
    builder.put("a", 5, np.array([3]))
    builder.put("b", 0, np.array([NAN]))
    builder.put_texts("b", 1, np.array([0]), ["x"])
    assert builder.typed == {"b"}
    assert cells(builder, "a", 6) == ["1", "2.5", None, "x", "False", "3"]


def test_texts_are_sorted_and_those_of_no_row_are_none_of_them(builder):
    builder.put_texts("a", 0, np.array([2, 0, -1]), ["b", "c", "a"])
    column = builder.frame(3)["a"]
    assert column.cat.categories.tolist() == ["a", "b"]
    assert column.cat.codes.tolist() == [0, 1, -1]


def test_truths_are_booleans_where_there_are_no_empty_cells(builder):
    builder.put_truths("a", 0, np.array([1, 0], np.int8))
    assert builder.frame(2)["a"].dtype == bool
