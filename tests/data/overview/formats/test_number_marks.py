"""How a file writes its numbers is found in its rows."""

import pytest

from hpo.data.overview.formats.number_marks import NumberMarks, number_marks


@pytest.mark.parametrize(
    ("cells", "separator", "marks"),
    [
        (["1.5", "2"], ",", NumberMarks()),
        (["1,5", "2"], ";", NumberMarks(",")),
        (["1,500", "2"], ";", NumberMarks(",")),
        (["1,500", "2"], ",", NumberMarks(thousands=",")),
        (["1,500", "2"], "\t", NumberMarks(thousands=",")),
        (["0,500", "2"], "\t", NumberMarks(",")),
        (["1,234,567", "2"], ";", NumberMarks(thousands=",")),
        (["1,234.5", "2"], ";", NumberMarks(thousands=",")),
        (["1.234.567", "2"], ";", NumberMarks(",", ".")),
        (["1.500", "2.250"], ",", NumberMarks()),
        (["1 234,5", "2,5"], ";", NumberMarks(",", " ")),
        (["1\u00a0234", "2"], ",", NumberMarks(thousands=" ")),
        (["1'234.5", "2"], ",", NumberMarks(thousands="'")),
        (["-$5", "$-6", "7"], ",", NumberMarks(units=("$",))),
        (["1 234,5 €", "2,5\u00a0€"], ";", NumberMarks(",", " ", ("€",))),
        (["5 %", "USD 5"], ",", NumberMarks(units=("%", "USD"))),
        (["5%", "a", "b"], ",", NumberMarks()),
        (["192.168.1.1", "10.0.0.1"], ",", NumberMarks()),
        (["01.02.2024", "31.12.2023"], ";", NumberMarks()),
    ],
)
def test_marks_are_found(cells, separator, marks):
    assert number_marks([[cell, "x"] for cell in cells], separator) == marks


def test_a_number_with_a_decimal_comma_makes_a_point_one_of_groups():
    rows = [["1.500", "2,5"], ["2.250", "3,75"]]
    assert number_marks(rows, ";") == NumberMarks(",", ".")
