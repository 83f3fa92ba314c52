"""Reads the column that says how rows are split."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo.data.readers.tables.lines import FileRows, Lines, Rows
from hpo.data.readers.tables.split_column import read_split_column
from hpo.errors import DataError
from hpo.spec.sections.split import ColumnSplit, GroupSplit, TimeSplit

GROUP, TIME, COLUMN = GroupSplit(group="c"), TimeSplit(time="c"), ColumnSplit(column="c")


def read(split, cells):
    rows = Rows([FileRows(Path("t.csv"), 97, Lines.of(np.arange(2, 99)))])
    return read_split_column(split, pd.Series(cells, name="c"), rows)


@pytest.mark.parametrize("cells", [["b", "a", "b"], [7, 3, 7], [True, False, True]])
def test_equal_cells_are_a_group(cells):
    first, second, third = read(GROUP, cells)
    assert first == third != second


@pytest.mark.parametrize(
    ("cells", "days"),
    [
        (["2024-01-31", "2023-12-01"], ["2024-01-31", "2023-12-01"]),
        (["2024-01-31 23:00:00+02:00", "2024-01-31"], ["2024-01-31T21", "2024-01-31"]),
        (["03/04/2024", "13/04/2024"], ["2024-04-03", "2024-04-13"]),
        (["03/04/2024", "04/13/2024"], ["2024-03-04", "2024-04-13"]),
        (["05/05/2024", "06/06/2024"], ["2024-05-05", "2024-06-06"]),  # either way the same
        (["Jan 31 2024", "Dec 1 2023"], ["2024-01-31", "2023-12-01"]),
    ],
)
def test_dates_are_read_as_they_are_written(cells, days):
    np.testing.assert_array_equal(read(TIME, cells), np.array(days, "datetime64[us]"))


def test_numbers_are_times():
    np.testing.assert_array_equal(read(TIME, [2001, 1999.5]), [2001, 1999.5])


def test_the_words_of_a_column_are_places_of_splits():
    assert read(COLUMN, ["test", "train", " validation"]).tolist() == [2, 0, 1]
    assert read(COLUMN, ["Val", "valid", "dev", "Training", "TEST"]).tolist() == [1, 1, 1, 0, 2]


@pytest.mark.parametrize(
    ("split", "cells", "message"),
    [
        (GROUP, ["a", None], "t.csv:3: the group in column 'c' is empty: fill it in, or remove t"),
        (TIME, ["2024-01-31", "soon"], "t.csv:3: the time in column 'c' is 'soon': write a number"),
        (TIME, ["2024-01-31", "2024-13-01"], "t.csv:3: the time in column 'c' is '2024-13-01': wr"),
        (TIME, ["03/04/2024", "05/06/2024"], "t.csv:2: the time in column 'c' is '03/04/2024': wr"),
        (TIME, [1.0, float("inf")], "t.csv:3: the time in column 'c' is 'inf': write a number or "),
        (COLUMN, ["train", "vel"], "t.csv:3: the split in column 'c' is 'vel': write train, valid"),
        (COLUMN, [0, 1], "t.csv:2: the split in column 'c' is '0': write train, validation or te"),
    ],
)
def test_a_cell_that_says_nothing_is_refused_with_its_line(split, cells, message):
    with pytest.raises(DataError) as error:
        read(split, cells)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
