"""`init` is right about target, task and metric of tables that people know."""

import os
from pathlib import Path

import numpy as np
import pytest

from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.data.overview.look import look_at
from hpo.errors import DataError
from hpo.report.init.budget import budget_for
from hpo.report.init.draft import draft, metric_of
from hpo.spec.file.document import parse_yaml
from hpo.spec.load import load_document
from tests.data.overview.samples import MADE, SHARED, Truth, shared_folder

FOLDER = shared_folder()
_KEYS = {"header", "missing", "separator", "decimal", "thousands", "units", "time"}


def check(path: Path, truth) -> None:
    seen = look_at(path, str(path))

    assert seen.dataset["target"] == truth.target
    assert seen.dataset["task"] == seen.target.task == truth.task
    assert metric_of(seen.target)[0] == truth.metric
    assert truth.holds.items() <= seen.dataset.items()
    assert seen.dataset.keys() & _KEYS == truth.holds.keys()
    assert set(seen.dataset.get("drop", ())) >= set(truth.left_out)
    assert seen.options.get("split") == truth.split
    made = draft(seen, budget_for(seen, "quick", None, 2), 2, "x.yaml")
    document = parse_yaml(made.text, "x.yaml").values
    experiment = load_document(document, path.parent)
    section = experiment.training.data
    assert inspect_data(section, path.parent, None).mistakes == ()
    return section


@pytest.mark.parametrize("name", MADE)
def test_a_made_table_is_understood_and_its_spec_is_valid(name, tmp_path):
    make, truth = MADE[name]
    (tmp_path / name).write_text(make())
    section = check(tmp_path / name, truth)
    assert load_data(section, tmp_path, None).task == truth.task


@pytest.mark.skipif(FOLDER is None, reason="there is no shared data beside the checkout")
@pytest.mark.parametrize("name", SHARED)
def test_a_public_table_is_understood_and_its_spec_is_valid(name):
    check(FOLDER / name, SHARED[name])


def test_a_table_of_thousands_of_columns_is_looked_at(tmp_path):
    values = np.random.default_rng(0).integers(0, 9, (30, 5_000))
    names = [f"gene{number}" for number in range(5_000)]
    lines = [",".join([*names, "label"])]
    lines += [",".join([*map(str, row), "ab"[n % 2]]) for n, row in enumerate(values.tolist())]
    (tmp_path / "wide.csv").write_text("\n".join(lines))

    seen = look_at(tmp_path / "wide.csv", "wide.csv")

    assert len(seen.columns) == 5_001
    assert seen.target.classes == {"a": 15, "b": 15}


def test_a_large_file_is_looked_at_by_its_head_and_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("hpo.data.overview.formats.csv_file.MOST_BYTES", 1 << 20)
    monkeypatch.setattr("hpo.data.overview.formats.csv_file._HEAD", 1 << 18)
    monkeypatch.setattr("hpo.data.overview.formats.csv_file._PIECE", 1 << 14)
    rows = 200_000
    with (tmp_path / "long.csv").open("w") as file:
        file.write("a,b,y\n")
        file.writelines(
            f"{n},{n % 7},{'no' if n < rows - 20_000 else 'yes'}\n" for n in range(rows)
        )
    size = os.path.getsize(tmp_path / "long.csv")  # noqa: PTH202

    seen = look_at(tmp_path / "long.csv", "long.csv")

    assert size > 2 << 20
    assert not seen.is_whole
    assert seen.seen < rows / 3
    assert seen.rows == pytest.approx(rows, rel=0.1)
    assert set(seen.target.classes) == {"no", "yes"}  # the head has no yes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n", "single row"),
        ("", "is empty"),
        ("one\ntwo\nthree\n", "no separator"),
        ("a,y\n1,2\n2,2\n", "'y' is '2' in every row"),
        ("y,a\n1,2\n2,2\n", "no column is left"),
    ],
)
def test_a_table_without_anything_to_learn_is_refused(text, message, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        look_at(tmp_path / "t.csv", "t.csv")


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"PK\3\4")
    with pytest.raises(DataError, match="no reader knows it"):
        look_at(tmp_path / "t.xlsx", "t.xlsx")


def test_a_series_with_missing_rows_and_empty_targets_gets_a_spec_that_reads_it(tmp_path):
    rng = np.random.default_rng(0)
    hours = np.datetime64("2024-01-01T00") + np.arange(600)
    rows = list(zip(hours, rng.normal(size=600).cumsum().round(3), strict=True))
    lines = [f"{hour},{'' if n % 50 == 3 else y}" for n, (hour, y) in enumerate(rows) if n % 33]
    (tmp_path / "power.csv").write_text("\n".join(["hour,power", *lines]) + "\n")

    section = check(
        tmp_path / "power.csv",
        Truth("power", "regression", "rmse", {"time": "hour"}),
    )

    told = [remark.text for remark in look_at(tmp_path / "power.csv", "power.csv").remarks]
    assert told[-1] == (
        "gaps in the series: 18 longer steps between rows and 12 rows without a target, left out; "
        "windows count rows, not time"
    )
    assert load_data(section, tmp_path, None).train.arrays["x"].shape[1] == 24
