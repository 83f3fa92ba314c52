"""Examples from the columns of a table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo.data.readers.tables.examples import Table, examples_of, same_texts
from hpo.data.readers.tables.lines import FileRows, Rows
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile, DataSpec


def examples(typed=(), **columns):
    rows = Rows([FileRows(Path("t.x"), len(columns["y"]))])
    table = Table(Path("t.x"), pd.DataFrame(columns), rows, (), frozenset(typed))
    return examples_of(table, DataSpec(dataset=CsvFile(csv="t.x", target="y")))


def test_a_text_among_numbers_is_a_mistake_unless_the_file_says_that_the_column_holds_texts():
    codes = [*map(str, range(9)), "7b"]
    with pytest.raises(DataError, match=r"^t\.x: row 10: column 'code' holds '7b' among numbers"):
        examples(code=codes, y=range(10))
    source = examples(["code"], code=codes, y=range(10))
    np.testing.assert_array_equal(source.categories[:, 0], [0, 1, 2, 3, 4, 5, 6, 7, 9, 8])


def test_texts_are_held_alike_whether_there_is_pyarrow_or_not():
    with same_texts():
        # pandas 2 holds texts as objects of Python.
        assert getattr(pd.Series(["a", "b"]).dtype, "storage", "python") == "python"
