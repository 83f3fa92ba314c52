"""The lines on which rows start: of plain text the same as `csv` gives."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.data.readers.tables import lines
from hpo.data.readers.tables.lines import FileRows, Lines, Rows, plain_lines
from hpo.data.readers.tables.table import numbered_rows
from hpo.spec.sections.data import CsvFile


def test_blank_lines_are_no_rows():
    found = plain_lines(b"a,y\n\n\n1,2\n3,4\n\n5,6", ",", 2, 10)
    assert [found[row] for row in range(len(found))] == [10, 13, 14, 16]


def test_the_rows_below_the_header_and_those_that_are_kept_keep_their_lines():
    below = Lines.of(np.array([1, 2, 5, 6, 9])).without(1)
    assert [below[row] for row in range(len(below))] == [2, 5, 6, 9]
    rows = Rows([FileRows(Path("t.csv"), 4, below)])
    kept = rows.where(np.array([False, True, False, True]))
    assert [kept[row] for row in range(len(kept))] == ["t.csv:5", "t.csv:9"]


@given(
    st.lists(st.lists(st.sampled_from(["", "1", "é", " "]), min_size=2, max_size=2), min_size=1),
    st.sampled_from(["\n", "\r\n", "\n\n", "\r\n\n"]),
    st.booleans(),
    st.integers(1, 40),
)
def test_the_lines_of_plain_text_are_those_of_csv(rows, end, is_ended, piece):
    text = end.join(map(";".join, rows)) + end * is_ended
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_PIECE", piece)
        found = plain_lines(text.encode(), ";", 2, 3)

    spec = CsvFile(csv="t.csv", target="y", separator=";", skip=2)
    expected = [row.line for row in numbered_rows(Path("t.csv"), text.encode(), spec)]
    assert [found[row] for row in range(len(found))] == expected


@pytest.mark.parametrize(
    "text",
    [
        'a,y\n"1",2\n',
        "a,y\r1,2\r",
        "a,y\n1,2\n3\n",
        "a,y\n1,2,3\n",
        f"a,y\n{'1' * 131_073},2\n",  # more than `csv` takes
    ],
)
def test_what_is_not_plain_is_left_to_csv(text):
    assert plain_lines(text.encode(), ",", 2, 1) is None


def test_rows_may_be_left_out_twice():
    rows = Rows([FileRows(Path("t.csv"), 5, Lines.of(np.array([2, 3, 5, 6, 9])))])
    found = rows.where(np.array([1, 0, 1, 1, 1], bool)).where(np.array([0, 1, 0, 1], bool))
    assert [found[row] for row in range(len(found))] == ["t.csv:5", "t.csv:9"]


def test_rows_of_several_files_are_told_with_their_file_and_counted_where_there_are_no_lines():
    files = [FileRows(Path("a.parquet"), 2), FileRows(Path("b.csv"), 1, Lines.of(np.array([7])))]
    rows = Rows([*files, FileRows(Path("c.parquet"), 1)])
    assert [rows[row] for row in range(len(rows))] == [
        "a.parquet: row 1",
        "a.parquet: row 2",
        "b.csv:7",
        "c.parquet: row 1",
    ]
