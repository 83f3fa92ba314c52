"""Tables as text."""

import pandas as pd
import pytest

from hpo.data.readers.tables.table import EMPTY_WORDS, looks_like_data
from hpo.spec.sections.data import CsvFile


def test_the_words_for_an_empty_cell_are_those_of_pandas():
    assert EMPTY_WORDS == pd._libs.parsers.STR_NA_VALUES


@pytest.mark.parametrize(
    ("rows", "is_data"),
    [
        (["5.1,3.5,setosa", "4.9,3.0,setosa", "7.0,3.2,versicolor"], True),
        (["sepal,petal,species", "4.9,3.0,setosa", "7.0,3.2,versicolor"], False),
        (["3,?,alfa", "3,1.5,alfa", "1,?,audi"], True),  # a gap does not make it a header
        (["country,1990,1991", "France,5.1,5.2", "Spain,4.1,4.2"], True),  # years look like data
        (["id,2,name", "1,5,x", "2,6,y", "3,7,z"], True),  # one of two columns of numbers
        (["id,2,c", "1,5,3", "2,6,4", "3,7,5"], False),  # one of three
        (["old,yes,left", "young,no,left", "old,yes,right"], True),  # texts that occur again
        (["age,menopause,side", "young,no,left", "old,yes,right"], False),
        (["a,y"], False),
    ],
)
def test_a_first_row_looks_like_data_where_it_is_like_the_rows_below(rows, is_data):
    first, *below = [row.split(",") for row in rows]
    assert looks_like_data(first, below, CsvFile(csv="t.csv", target="y", missing=["?"])) is is_data
