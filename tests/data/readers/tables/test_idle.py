"""Leaves of columns that have no effect."""

import pytest

from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.data.readers.tables.idle import idle_notes
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import CsvFile, DataSpec


@pytest.mark.parametrize(
    ("held", "leaves", "says"),
    [
        ("numbers", {"encode": "target"}, "encode of 'c' in data.columns.by_name has no effect on"
         " numbers: remove it, or write type: category"),
        ("categories", {"transform": "log"}, "no effect on categories: remove it."),
        ("categories", {"encode": "target", "buckets": 8}, "buckets of 'c' in data.columns.by_name "
         "has no effect on categories: remove it, or write encode: hashing."),
        ("numbers", {"constant": 3.0}, "remove it, or write impute: constant."),
        ("numbers", {"type": "date", "encode": "hashing"}, "no effect on dates: remove it."),
        ("texts", {"encode": "target", "impute": "mean"}, "encode, impute of 'c' in data.columns"
         ".by_name have no effect on texts: remove them."),
    ],
)  # fmt: skip
def test_leaves_without_an_effect_are_told(held, leaves, says):
    (note,) = idle_notes("t.csv", Columns(by_name={"c": leaves}), {"c": held})
    assert says in note


@pytest.mark.parametrize(
    ("held", "leaves"),
    [
        ("numbers", {"impute": "constant", "constant": 3.0, "flag": True, "transform": "log"}),
        ("numbers", {"type": "category", "encode": "target", "smoothing": 2.0}),
        ("categories", {"encode": "hashing", "buckets": 8, "impute": "constant"}),
        ("categories", {"transform": "log", "drop": True}),
        ("numbers", {"type": "text", "features": 5}),
    ],
)
def test_leaves_with_an_effect_are_not(held, leaves):
    assert [*idle_notes("t.csv", Columns(by_name={"c": leaves}), {"c": held})] == []


def test_a_value_for_all_columns_decides_what_one_of_a_column_does():
    columns = Columns(encode="hashing", by_name={"c": {"buckets": 8}})
    assert [*idle_notes("t.csv", columns, {"c": "categories"})] == []


def test_check_and_search_tell_of_the_same_columns(tmp_path):
    rows = "".join(f"{n}.5,{'uv'[n % 2]},{n % 3}\n" for n in range(30))
    (tmp_path / "t.csv").write_text(f"size,kind,y\n{rows}")
    by_name = {"size": {"encode": "target"}, "kind": {"transform": "log"}}
    spec = DataSpec(dataset=CsvFile(csv="t.csv", target="y"), columns=Columns(by_name=by_name))
    told = inspect_data(spec, tmp_path, None).notes
    assert [note.partition(" of ")[0] for note in told] == ["t.csv: encode", "t.csv: transform"]
    assert {*told} <= {*load_data(spec, tmp_path, None).notes}
