"""A look at files that say the types of their columns."""

import json

import numpy as np
import pandas as pd
import pytest

from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.data.overview.look import look_at
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "day": pd.date_range("2024-01-01", periods=60),
        "size": RNG.normal(size=60).round(3),
        "colour": [("red", "blue", None)[n % 3] for n in range(60)],
        "is_new": [n % 4 == 0 for n in range(60)],
        "tags": [[n] for n in range(60)],
        "price": RNG.normal(size=60).round(3),
    }
)
KINDS = {"day": "date", "size": "number", "colour": "category", "is_new": "boolean"}


def check(seen, folder, format_):
    assert {column.name: column.kind for column in seen.columns} == {**KINDS, "price": "number"}
    assert seen.rows == 60
    assert seen.dataset["drop"] == ["tags"]
    assert format_ in seen.dataset
    assert seen.options["split"] == {"time": "day"}
    section = DataSpec(dataset=seen.dataset, **seen.options)
    assert inspect_data(section, folder, None).mistakes == ()


def test_a_parquet_file_is_looked_at(tmp_path):
    pytest.importorskip("pyarrow")
    FRAME.to_parquet(tmp_path / "t.parquet")
    check(look_at(tmp_path / "t.parquet", "t.parquet"), tmp_path, "parquet")


def test_an_arrow_file_is_looked_at(tmp_path):
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_pandas(FRAME)
    with pa.ipc.new_file(tmp_path / "t.arrow", table.schema) as out:
        out.write_table(table)
    check(look_at(tmp_path / "t.arrow", "t.arrow"), tmp_path, "arrow")


def test_the_folders_of_parquet_files_are_columns(tmp_path):
    pytest.importorskip("pyarrow")
    for year in (2023, 2024):
        (tmp_path / "t" / f"year={year}").mkdir(parents=True)
        FRAME.drop(columns=["tags", "day"]).to_parquet(
            tmp_path / "t" / f"year={year}" / "part-0.parquet"
        )
    (tmp_path / "t" / "_SUCCESS").touch()

    seen = look_at(tmp_path / "t", "t")

    assert seen.rows == 120
    assert {column.name: column.distinct for column in seen.columns}["year"] == 2


def test_json_lines_are_looked_at(tmp_path):
    lines = [json.dumps(row, default=str) for row in FRAME.to_dict("records")]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    check(look_at(tmp_path / "t.jsonl", "t.jsonl"), tmp_path, "jsonl")


@pytest.mark.parametrize(
    ("text", "message"), [("", "has no row"), ('{"a": 1}\n[2]\n', ":2: holds")]
)
def test_lines_that_are_no_objects_are_refused(text, message, tmp_path):
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        look_at(tmp_path / "t.jsonl", "t.jsonl")


def test_numbers_that_stand_for_gaps_are_empty_as_the_search_reads_them(tmp_path):
    cells = ["1e999", "-999", *map(str, range(40))]
    lines = [f'{{"a": {cell}, "y": {n % 2}}}\n' for n, cell in enumerate(cells)]
    (tmp_path / "t.jsonl").write_text("".join(lines))
    seen = look_at(tmp_path / "t.jsonl", "t.jsonl")
    assert seen.dataset["missing"] == ["inf", -999]
    assert seen.columns[0].gaps == 2
    data = load_data(DataSpec(dataset=seen.dataset, normalize="none", test=0), tmp_path, None)
    assert np.concatenate([data.train.x, data.validation.x]).max() == 39


def test_a_number_that_the_search_refuses_is_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a": 1e39, "y": 1}\n{"a": 1, "y": 0}\n' * 20)
    with pytest.raises(DataError, match="column 'a' is infinite or too large for float32"):
        look_at(tmp_path / "t.jsonl", "t.jsonl")
