"""Examples from the columns of a table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo.data.readers.tables.examples import Table, examples_of, same_texts
from hpo.data.readers.tables.lines import FileRows, Rows
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile, DataSpec, DropRows


def examples(typed=(), *, spec=None, **columns):
    rows = Rows([FileRows(Path("t.x"), len(columns["y"]))])
    table = Table(Path("t.x"), pd.DataFrame(columns), rows, (), frozenset(typed))
    return examples_of(table, DataSpec(dataset=CsvFile(csv="t.x", target="y", **(spec or {}))))


def test_a_text_among_numbers_is_a_mistake_unless_the_file_says_that_the_column_holds_texts():
    codes = [*map(str, range(9)), "7b"]
    with pytest.raises(DataError, match=r"^t\.x: row 10: column 'code' holds '7b' among numbers"):
        examples(code=codes, y=range(10))
    source = examples(["code"], code=codes, y=range(10))
    np.testing.assert_array_equal(source.categories[:, 0], [0, 1, 2, 3, 4, 5, 6, 7, 9, 8])


@pytest.mark.parametrize("held", [list, pd.Categorical])
def test_rows_of_rare_classes_are_left_out_however_a_file_holds_its_texts(held):
    spec = {"task": "classification", "drop_rows": DropRows(rare_classes=3)}
    source = examples(x=range(9), y=held([*"abbacbcab"]), spec=spec)
    assert source.classes == ("a", "b")
    assert source.x[:, 0].tolist() == [0, 1, 2, 3, 5, 7, 8]
    assert source.notes == ("t.x: 2 rows of a rare class are left out.",)


def test_texts_are_held_alike_whether_there_is_pyarrow_or_not():
    with same_texts():
        # pandas 2 holds texts as objects of Python.
        assert getattr(pd.Series(["a", "b"]).dtype, "storage", "python") == "python"
