"""New rows, read as the training's were."""

import numpy as np
import pandas as pd
import pytest

from hpo.data.new.table import new_examples, unknown_categories, with_targets
from hpo.data.readers.tables.examples import Table
from hpo.data.readers.tables.lines import FileRows, Rows
from hpo.data.source import Source
from hpo.data.transforms.features import Features, NumberColumn, TextColumn
from hpo.data.transforms.transform import fit_transform
from hpo.errors import DataError
from hpo.spec.sections.columns import Columns

FEATURES = Features(
    (NumberColumn("age", "number"), NumberColumn("ok", "boolean"), NumberColumn("at", "month")),
    (TextColumn("city", ("1", "Oslo")),),
    targets=("price",),
)
CELLS = {"age": [3.5, None], "ok": ["yes", None], "at": ["2024-03-01", None], "city": ["1.0", None]}


def a_table(tmp_path, **cells):
    frame = pd.DataFrame(CELLS | cells)
    return Table(tmp_path / "new.csv", frame, Rows([FileRows(tmp_path / "new.csv", len(frame))]))


def test_cells_are_read_by_the_types_of_the_training(tmp_path):
    found = new_examples(a_table(tmp_path, more=[1, 2]), FEATURES)
    np.testing.assert_array_equal(found.x, [[3.5, 1.0, 3.0], [np.nan] * 3])
    assert found.categories.tolist() == [[0], [-1]]


def test_a_complex_number_is_no_number(tmp_path):
    with pytest.raises(DataError, match="column 'age' holds '1j', and the model was trained wit"):
        new_examples(a_table(tmp_path, age=[1j, 2.0]), FEATURES)


def test_a_new_category_follows_the_known_ones_and_is_told_once(tmp_path):
    source = new_examples(a_table(tmp_path, city=["Rome", "Rome"]), FEATURES)
    assert source.categories.tolist() == [[2], [2]]
    assert source.values == (["1", "Oslo", "Rome"],)
    train = Source(
        x=np.zeros((2, 3)),
        y=np.arange(2.0),
        target="t",
        names=("age", "ok", "at"),
        text_names=("city",),
        categories=np.array([[0], [1]], np.int32),
        values=(["1", "Oslo"],),
    )
    fit = fit_transform(train, "standard", columns=Columns())
    (note,) = unknown_categories(source, FEATURES, fit)
    assert note.endswith(
        "column 'city': 2 rows with a category that no training row has, such as 'Rome'"
    )
    assert fit.apply(source)[:, -2:].tolist() == [[0, 0]] * 2


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({"age": ["3", "old"]}, "row 2: column 'age' holds 'old', and the model was trained with"),
        ({"age": [1e300, 1]}, "row 1: column 'age' is infinite or too large for float32"),
        ({"ok": ["yes", "maybe"]}, "row 2: column 'ok' holds 'maybe', which is no boolean"),
        ({"at": ["2024-03-01", "soon"]}, "row 2: column 'at' holds 'soon', which is no date"),
    ],
)
def test_a_cell_of_another_type_is_refused_with_its_row(tmp_path, cells, told):
    with pytest.raises(DataError) as refused:
        new_examples(a_table(tmp_path, **cells), FEATURES)
    assert told in str(refused.value)


def test_a_table_without_rows_is_refused(tmp_path):
    table = a_table(tmp_path)
    empty = Table(table.path, table.frame.iloc[:0], table.rows)
    with pytest.raises(DataError, match=r"new\.csv: has no row: give a file with one row"):
        new_examples(empty, FEATURES)


@pytest.mark.parametrize(
    ("cells", "classes", "task", "expected"),
    [
        (["1.0", "0"], ("0", "1"), "classification", [1, 0]),
        ([1.5, 2.0], ("1.5", "2.0"), "classification", [0, 1]),
        ([True, False], ("False", "True"), "classification", [1, 0]),
        ([7, 8.5], (), "regression", [7.0, 8.5]),
    ],
)
def test_targets_are_those_of_the_training(tmp_path, cells, classes, task, expected):
    table = a_table(tmp_path, price=cells)
    source = with_targets(new_examples(table, FEATURES), table, FEATURES, classes, task)
    assert source.y.tolist() == expected


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ({}, "has no column 'price', which has the target or the weight of each row: add it."),
        ({"price": ["a", None]}, "row 2: has no target in column 'price'"),
        ({"price": ["a", "c"]}, "row 2: column 'price' holds 'c', a class that the training data"),
    ],
)
def test_targets_that_cannot_be_judged_are_refused(tmp_path, cells, told):
    table = a_table(tmp_path, **cells)
    with pytest.raises(DataError) as refused:
        with_targets(new_examples(table, FEATURES), table, FEATURES, ("a", "b"), "classification")
    assert told in str(refused.value)
