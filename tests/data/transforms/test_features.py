"""The columns of a data set as plain values."""

import json

import numpy as np
import pytest

from hpo.data.source import Source
from hpo.data.transforms.features import Features, NumberColumn, TextColumn, check_columns
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile

TABLE = Features(
    (NumberColumn("age", "number"), NumberColumn("when", "days")),
    (TextColumn("city", ("Oslo", "\ud800")), TextColumn("note", None)),
    targets=("price",),
    weight="w",
    weight_mean=2.5,
)


@pytest.mark.parametrize("features", [TABLE, Features(shape=(8, 8, 1), type="uint8"), Features()])
def test_features_are_the_same_after_json(features):
    assert Features.from_plain(json.loads(json.dumps(features.to_plain()))) == features


def test_those_of_a_table_have_names_categories_and_the_mean_weight():
    source = Source(
        x=np.zeros((2, 1)),
        y=np.zeros(2),
        target="t",
        names=("age",),
        text_names=("city", "note"),
        values=(["Bonn"], ["a text"]),
        weight=np.array([1.0, 4.0]),
    )
    dataset = CsvFile(csv="t.csv", target="price", weight="w")
    assert Features.of(dataset, source, free_texts=[1]) == Features(
        (NumberColumn("age", "number"),),
        (TextColumn("city", ("Bonn",)), TextColumn("note", None)),
        targets=("price",),
        weight="w",
        weight_mean=2.5,
    )


@pytest.mark.parametrize(
    "plain",
    [
        {"more": 1},
        {"numbers": 3},
        {"numbers": [["age"]]},
        {"numbers": [["age", "second"]]},
        {"numbers": [[1, "number"]]},
        {"texts": [["city", "Oslo"]]},
        {"texts": [["city", [1]]]},
        {"shape": [-1]},
        {"shape": [1 << 40]},
        {"type": 7},
        {"targets": "price"},
        {"weight": 1},
        {"weight_mean": 0},
        {"weight_mean": True},
    ],
)
def test_other_values_are_refused(plain):
    with pytest.raises(ValueError, match=r"^has "):
        Features.from_plain(plain)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match=r"^new\.csv: has no column 'when', 'note', which the mod"):
        check_columns(TABLE, ["age", "city"], "new.csv")
