"""Tables that are parsed piece by piece hold what pandas reads at once, to the bit."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.data.readers.tables import pieces
from hpo.data.readers.tables.pieces import table_of_numbers

OPTIONS = {"sep": ",", "index_col": False, "low_memory": False}


def in_pieces(monkeypatch, cells, rows_of_a_piece=2):
    text = "a,y\n" + "".join(f"{cell},1\n" for cell in cells)
    monkeypatch.setattr(pieces, "_PIECE_BYTES", rows_of_a_piece * len(text) // len(cells) + 1)
    return table_of_numbers(text.encode(), OPTIONS, len(cells), 2)


CELLS = [
    "0",
    "-0",
    "7",
    "-129",
    "70000",
    "1.5",
    "0.1234567890123456",
    "1e5",
    "",
    "9" * 18,
    "0" * 20,
]


@given(st.lists(st.sampled_from(CELLS), min_size=1, max_size=12), st.integers(1, 5))
def test_pieces_give_the_bits_of_the_whole_or_nothing(cells, rows):
    with pytest.MonkeyPatch.context() as patch:
        found = in_pieces(patch, cells, rows)
    if found is not None:
        text = "a,y\n" + "".join(f"{cell},1\n" for cell in cells)
        whole = pd.read_csv(io.StringIO(text), **OPTIONS)["a"].to_numpy(np.float64)
        assert found["a"].to_numpy(np.float64).tobytes() == whole.tobytes()


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2", "-128", "127"], "int8"),
        (["1", "2", "128", "4", "70000", "6"], "int32"),
        (["70000", "2", "1", "4"], "int32"),
        (["1", "2", "3", "4.5"], "float64"),
        (["1.5", "2", "3", "4"], "float64"),
        (["1", "2", "", "4"], "float64"),
        (["9223372036854775807", "1", "2"], "int64"),
    ],
)
def test_whole_numbers_take_few_bytes(monkeypatch, cells, kind):
    found = in_pieces(monkeypatch, cells)["a"]
    assert found.dtype == kind
    assert [f"{value:g}" for value in found] == [f"{float(cell or 'nan'):g}" for cell in cells]


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "2", "3", "red"],
        ["True", "False"],
        ["1", "-0", "3", "4.5"],  # -0.0 in a column with fractions
        ["1", "2", "9" * 17, "4.5"],
        ["18446744073709551615", "1"],
    ],
)
def test_what_depends_on_other_pieces_is_left_to_pandas(monkeypatch, cells):
    assert in_pieces(monkeypatch, cells) is None


def test_a_table_of_another_number_of_rows_is_left_to_pandas():
    assert table_of_numbers(b"a,y\n1,2\n3,4\n", OPTIONS, 1, 2) is None
    assert table_of_numbers(b"a,y\n1,2\n3,4\n", OPTIONS, 3, 2) is None
