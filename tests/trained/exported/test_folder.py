"""What `hpo export-model` writes, and what it refuses to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import HpoError
from hpo.trained.exported import comparing
from hpo.trained.exported import folder as exported
from hpo.trained.exported.folder import (
    check_extra,
    check_free,
    export_onnx,
    export_stablehlo,
    rows_to_compare,
    schema_of,
)
from hpo.trained.model import Model, load_model
from tests.study.whole import Studies
from tests.trained.exported.drawn import data_of, drawn
from tests.trained.tables import trained, write_table


@pytest.fixture(scope="module")
def model(churn: Path) -> Model:
    return load_model(churn / "model", "cpu")


def test_the_rows_that_validate_are_compared(model: Model, churn: Path, tmp_path: Path) -> None:
    source = rows_to_compare(model, None, (tmp_path, churn), None)
    stored = json.loads((churn / "model" / "metrics.json").read_text())["metrics"]
    found = export_onnx(model, tmp_path / "out", source, 1e-5)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("model.onnx", "predict.py", "requirements.txt", "schema.json", "tables.py")
    }
    assert found.rows == len(source) == 24
    assert found.difference < 1e-6
    assert found.size == (tmp_path / "out" / "model.onnx").stat().st_size
    classes = model.predictions(source).argmax(-1)
    assert (classes == source.y).mean() == pytest.approx(stored["validation"]["accuracy"])


def test_fewer_bits_are_told_with_what_they_cost(model: Model, churn: Path, tmp_path: Path) -> None:
    source = rows_to_compare(model, None, (tmp_path, churn), None)
    found = export_onnx(model, tmp_path / "out", source, 0.25, "int8", is_judged=True)
    assert found.difference > 1e-5
    assert found.metrics is not None
    assert found.metrics["model"]["accuracy"] == model.score(source)["accuracy"]
    lost = found.metrics["model"]["loss"] - found.metrics["export"]["loss"]
    assert 0 < abs(lost) < 0.1
    with pytest.raises(HpoError, match=r"--tolerance 1e-09 \(.*accuracy .* or a finer --precision"):
        export_onnx(model, tmp_path / "more", source, 1e-9, "float16", is_judged=True)
    assert not (tmp_path / "more").exists()


def test_a_file_of_rows_may_be_compared_instead(model: Model, churn: Path, tmp_path: Path) -> None:
    source = rows_to_compare(model, churn / "table.csv", (), None)
    found = export_stablehlo(model, tmp_path / "model.bin", source, 1e-5)
    assert (found.rows, found.size) == (120, (tmp_path / "model.bin").stat().st_size)


def test_a_text_or_a_series_may_be_compared_instead(tmp_path: Path) -> None:
    own, _ = drawn(tmp_path, data_of(tmp_path, "language"), {"name": "rnn", "width": 4})
    (tmp_path / "new.txt").write_text("the rat sat at the mat. ")
    source = rows_to_compare(own, tmp_path / "new.txt", (), None)
    assert export_onnx(own, tmp_path / "text", source, 1e-5).rows == 2  # of 8 and the next token
    with pytest.raises(HpoError, match=r"none\.txt: there is no such text"):
        rows_to_compare(own, tmp_path / "none.txt", (), None)
    own, _ = drawn(tmp_path, data_of(tmp_path, "windows"), {"name": "rnn", "width": 4})
    source = rows_to_compare(own, tmp_path / "days.csv", (), None)
    assert export_onnx(own, tmp_path / "days", source, 1e-5).rows == 60 - 3


def test_without_rows_nothing_is_written(model: Model, churn: Path, tmp_path: Path) -> None:
    with pytest.raises(HpoError, match=r"cannot be read \(.*give rows .* with --rows DATA"):
        rows_to_compare(model, None, (tmp_path,), None)
    table = (churn / "table.csv").read_text().replace("Oslo", "Paris")
    (tmp_path / "table.csv").write_text(table)
    with pytest.raises(HpoError, match="categories are not those of the training"):
        rows_to_compare(model, None, (tmp_path,), None)


@pytest.mark.parametrize("export", [export_onnx, export_stablehlo])
def test_an_export_that_answers_otherwise_is_not_written(
    export: object, model: Model, churn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(export)
    source = rows_to_compare(model, churn / "table.csv", (), None)
    monkeypatch.setattr(comparing, "differences", lambda *_: np.array([0.01]))
    with pytest.raises(HpoError, match=r"up to 0.01 apart .* more than --tolerance 1e-05: nothing"):
        export(model, tmp_path / "out", source, 1e-5)
    monkeypatch.setattr(comparing, "differences", lambda *_: np.array([np.nan]))
    with pytest.raises(HpoError, match="nothing was written"):
        export(model, tmp_path / "out", source, 1e-5)
    assert [*tmp_path.iterdir()] == []


def test_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    check_free(tmp_path / "mine", {"model.onnx"}, is_replaced=False)
    (tmp_path / "mine" / "model.onnx").touch()
    with pytest.raises(HpoError, match="exists: give another name, or --force"):
        check_free(tmp_path / "mine", {"model.onnx"}, is_replaced=False)
    check_free(tmp_path / "mine", {"model.onnx"}, is_replaced=True)
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(HpoError, match="is something else already"):
        check_free(tmp_path / "mine", {"model.onnx"}, is_replaced=True)
    with pytest.raises(HpoError, match="is something else already"):
        check_free(tmp_path / "mine", set(), is_replaced=True)
    with pytest.raises(HpoError, match="a folder that exists"):
        check_free(tmp_path / "no" / "folder", set(), is_replaced=True)


def test_the_schema_names_columns_categories_and_answers(model: Model) -> None:
    schema = schema_of(model)
    assert schema["answers"] == ["churn"]
    assert schema["classes"] == ["no", "yes"]
    assert ["age", "number"] in schema["numbers"]
    assert ["city", ["Bonn", "Oslo", "Rome"]] in schema["texts"]
    assert "" in schema["missing"]


def test_a_threshold_is_that_of_the_chances_that_are_written(model: Model) -> None:
    (member,) = model.members
    own = replace(model, members=(member._replace(thresholds=np.array([0.2])),), temperature=2.0)
    assert schema_of(own)["thresholds"] == [pytest.approx(1 / 3)]  # sqrt(0.2 / 0.8) is 1 / 2


def test_an_export_is_judged_by_the_thresholds_of_its_model(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    own = load_model(trained(studies, tmp_path, "train.threshold=f1"), "cpu")
    source = rows_to_compare(own, None, (tmp_path,), None)
    stored = json.loads((own.folder / "metrics.json").read_text())["metrics"]["validation"]
    found = export_onnx(own, tmp_path / "out", source, 1e-5, is_judged=True).metrics
    assert found is not None
    for metrics in found.values():
        assert metrics == {name: pytest.approx(stored[name], rel=1e-4) for name in metrics}
    assert own.thresholds is not None
    chances = own.predictions(source)
    assert own.temperature != 1
    assert stored["accuracy"] == ((chances[:, 1] > own.thresholds) == source.y).mean()
    assert stored["accuracy"] != (chances.argmax(1) == source.y).mean()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_extra("onnx")
    monkeypatch.setattr(exported, "find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(HpoError, match=r"needs onnx, which is not installed: .*hpo-lanes\[onnx\]"):
        check_extra("onnx")
