"""How a table writes its numbers."""

import io

import pytest

from hpo.data.readers.tables.numbers import marks_hint, plain_numbers, plain_rows
from hpo.spec.sections.data import CsvFile


def spec(**fields):
    return CsvFile(csv="t.csv", target="y", **fields)


@pytest.mark.parametrize(
    ("fields", "cell", "plain"),
    [
        ({"decimal": ","}, "1,5", "1.5"),
        ({"thousands": ","}, "1,106.5", "1106.5"),
        ({"thousands": ","}, "1,1065", "1,1065"),
        ({"thousands": ","}, "1,106,x", "1,106,x"),
        ({"thousands": ",", "units": ["$"]}, "-$1,106", "-1106"),
        ({"thousands": ",", "units": ["$"]}, "-$-5", "-$-5"),
        ({"units": ["$"]}, "$", "$"),
        ({"units": ["$", "%"]}, "7 %", "7"),
        ({"units": ["%"]}, "7e-3%", "7e-3"),
        ({"units": ["%"]}, "seven %", "seven %"),
        ({"units": ["%"]}, "-.5%", "-.5"),
        ({"decimal": ",", "thousands": "."}, "01.02.2024", "01.02.2024"),
        ({"decimal": ",", "thousands": "."}, "-1.106,06", "-1106.06"),
    ],
)
def test_a_number_is_plain_and_another_cell_stays(fields, cell, plain):
    assert plain_numbers([cell], spec(**fields)) == [plain]


def test_rewritten_rows_keep_their_cells():
    text = 'a,$1\n\n"two\nlines","a ""b"""\n,$2\n'
    found = b"".join(plain_rows(io.StringIO(text), spec(units=["$"]), has_header=True)).decode()
    assert found == 'a,$1\r\n"two\nlines","a ""b"""\r\n,2\r\n'


@pytest.mark.parametrize(
    ("cell", "has_hint"), [("$1,106", True), ("6%", True), ("1 106", True), ("Ulm", False)]
)
def test_a_number_with_marks_has_a_hint(cell, has_hint):
    assert bool(marks_hint(cell)) == has_hint
