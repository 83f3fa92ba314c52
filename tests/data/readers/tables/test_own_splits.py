"""Splits in files of their own, for every format of a table."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from hpo.data.cache import DataCache
from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.errors import DataError
from hpo.spec.sections.data import CsvFile, DataSpec, JsonLines, ParquetFile
from hpo.spec.sections.split import ColumnSplit, GroupSplit

ROWS = {
    "train": [(1.0, "Ulm", "u"), (3.0, "Bonn", "v"), (5.0, "Ulm", "u"), (None, "Bonn", "v")],
    "validation": [(100.0, "Kiel", "u"), (3.0, "Ulm", "v")],
    "test": [(-7.0, "Bonn", "v")],
}


def write_csv(path, rows):
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    path.write_text("\n".join(["a,town,y", *map(",".join, cells)]) + "\n")


def write_jsonl(path, rows):
    lines = [json.dumps(dict(zip(("a", "town", "y"), row, strict=True))) for row in rows]
    path.write_text("\n".join(lines))


def write_parquet(path, rows):
    pa = pytest.importorskip("pyarrow", reason="the extra `arrow` is not installed")
    from pyarrow import parquet

    columns = dict(zip(("a", "town", "y"), map(list, zip(*rows, strict=True)), strict=True))
    parquet.write_table(pa.table(columns), path)


FORMATS = {
    "csv": (CsvFile, write_csv),
    "jsonl": (JsonLines, write_jsonl),
    "parquet": (ParquetFile, write_parquet),
}


@pytest.fixture(params=FORMATS)
def table(request, tmp_path):
    """A function that gives the spec of a table whose files lie in a folder."""
    kind, write = FORMATS[request.param]
    for name, rows in ROWS.items():
        write(tmp_path / f"{name}.{request.param}", rows)

    def spec(**more):
        own = {name: f"{name}.{request.param}" for name in ("validation", "test")}
        return kind(**{request.param: f"train.{request.param}", "target": "y", **own, **more})

    return spec


def test_the_transform_is_fitted_on_the_training_file_alone(table, tmp_path):
    data = load_data(DataSpec(dataset=table(), batch_size=2), tmp_path, None)
    assert [len(data.train), len(data.validation), len(data.test)] == [4, 2, 1]
    # The mean of 1, 3, 5 and the median 3; Kiel, which no row trains, is neither Bonn nor Ulm.
    np.testing.assert_allclose(data.transform.offset, [3])
    np.testing.assert_allclose(data.validation.x[0], [97 / np.sqrt(2), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(data.test.x[0], [-10 / np.sqrt(2), 1, 0], rtol=1e-6)
    assert data.classes == ("u", "v")
    np.testing.assert_array_equal(data.validation.y, [0, 1])


def test_a_test_file_is_not_read_where_no_test_is_asked_for(table, tmp_path):
    data = load_data(DataSpec(dataset=table(test="no such file"), test=0), tmp_path, None)
    assert (data.test, len(data.validation)) == (None, 2)


def test_rows_that_validate_are_held_out_where_there_is_a_test_file_alone(table, tmp_path):
    spec = DataSpec(dataset=table(validation=None), validation=2)
    data = load_data(spec, tmp_path, None)
    assert [len(data.train), len(data.validation), len(data.test)] == [2, 2, 1]


def test_groups_of_the_training_file_are_split_beside_a_test_file(table, tmp_path):
    spec = DataSpec(
        dataset=table(validation=None), validation=0.5, split=GroupSplit(group="town", feature=True)
    )
    data = load_data(spec, tmp_path, None)
    assert [len(data.train), len(data.validation), len(data.test)] == [2, 2, 1]


def test_a_file_that_is_missing_or_has_other_columns_is_refused(table, tmp_path):
    spec = DataSpec(dataset=table(validation="no.x"))
    with pytest.raises(DataError, match=r"^data\.dataset\.validation: there is no .*file 'no\.x'"):
        load_data(spec, tmp_path, None)
    (mistake,) = inspect_data(spec, tmp_path, None).mistakes
    assert "there is no" in mistake.text
    write_csv(tmp_path / "train.csv", ROWS["train"])
    write_csv(tmp_path / "other.csv", ROWS["train"])
    (tmp_path / "other.csv").write_text("b,town,y\n1,Ulm,u\n")
    spec = DataSpec(dataset=CsvFile(csv="train.csv", target="y", validation="other.csv"))
    with pytest.raises(DataError, match=r"other\.csv: has no column 'a', which .*train\.csv has"):
        load_data(spec, tmp_path, None)


def test_numbers_in_one_file_and_texts_in_another_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n1,0\n2,1\n")
    (tmp_path / "v.csv").write_text("a,y\nx,0\nz,1\n")
    spec = DataSpec(dataset=CsvFile(csv="t.csv", target="y", validation="v.csv"), test=0)
    with pytest.raises(DataError, match=r"v\.csv: column 'a' holds texts, and numbers in .*t\.csv"):
        load_data(spec, tmp_path, None)


def test_booleans_may_have_gaps_in_one_file_alone_and_are_no_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + "true,0\nfalse,1\n" * 4)
    (tmp_path / "v.csv").write_text("a,y\ntrue,0\n,1\nfalse,1\n")
    (tmp_path / "w.csv").write_text("a,y\n1,0\n0,1\n")

    def loaded(train, validation):
        table = CsvFile(csv=f"{train}.csv", target="y", validation=f"{validation}.csv")
        return load_data(DataSpec(dataset=table, test=0), tmp_path, None)

    assert (loaded("t", "v").validation.x.shape, loaded("v", "t").train.x.shape) == ((3, 2), (3, 2))
    with pytest.raises(
        DataError, match=r"w\.csv: column 'a' holds numbers, and booleans in .*t\.c"
    ):
        loaded("t", "w")


def test_mistakes_in_a_file_for_validation_are_told_with_its_line(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n1,0\n2,1\n")
    (tmp_path / "v.csv").write_text("a,y\n3,0\n4,\n")
    spec = DataSpec(dataset=CsvFile(csv="t.csv", target="y", validation="v.csv"), test=0)
    with pytest.raises(DataError, match=r"v\.csv:3: 1 row has no value in the target column"):
        load_data(spec, tmp_path, None)
    (mistake,) = inspect_data(spec, tmp_path, None).mistakes
    assert (mistake.path, "v.csv:3" in mistake.text) == (("dataset", "validation"), True)


def test_a_file_for_validation_and_a_column_that_splits_are_refused_together():
    own = CsvFile(csv="t.csv", target="y", validation="v.csv")
    with pytest.raises(ValidationError, match=r"has files of its own in dataset\.validation: remo"):
        DataSpec(dataset=own, split=GroupSplit(group="g"))
    with pytest.raises(ValidationError, match=r"has files of its own in dataset\.test: remove spl"):
        DataSpec(dataset=CsvFile(csv="t", target="y", test="v"), split=ColumnSplit(column="g"))


def test_the_cache_notices_a_change_of_a_file_for_validation(tmp_path):
    cache = DataCache(tmp_path / "cache")
    for name, rows in ROWS.items():
        write_csv(tmp_path / f"{name}.csv", rows)
    table = CsvFile(csv="train.csv", target="y", validation="validation.csv", test="test.csv")
    before = load_data(DataSpec(dataset=table), tmp_path, None, cache)
    write_csv(tmp_path / "validation.csv", ROWS["test"])
    after = load_data(DataSpec(dataset=table), tmp_path, None, cache)
    assert (len(before.validation), len(after.validation)) == (2, 1)


def test_folds_are_refused_beside_a_file_for_validation(tmp_path):
    for name, rows in ROWS.items():
        write_csv(tmp_path / f"{name}.csv", rows)
    own = CsvFile(csv="train.csv", target="y", validation="validation.csv")
    with pytest.raises(DataError, match=r"^data\.folds: this data set has rows that validate of i"):
        load_data(DataSpec(dataset=own, folds=2), tmp_path, None)
