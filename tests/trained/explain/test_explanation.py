"""What is known of a model's answers, on rows whose answers are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpo
from hpo.errors import HpoError
from hpo.trained.explain.explanation import explained
from hpo.trained.explain.findings import How
from hpo.trained.explain.rows import rows_to_explain
from hpo.trained.model import load_model
from tests.study.whole import Studies
from tests.trained.tables import trained, write_table

HOW = How(repeats=2, worst=5)


def test_classes_are_explained_with_the_temperature_and_metrics_without(churn: Path) -> None:
    model = load_model(churn / "model", "cpu")
    found = explained(model, rows_to_explain(model, None, (churn,), None), HOW)
    stored = json.loads((churn / "model" / "metrics.json").read_text())
    for name, value in stored["metrics"]["validation"].items():
        assert found.metrics[name] == pytest.approx(value, abs=1e-6)
    assert found.errors == pytest.approx(stored["calibration_error"]["validation"], abs=1e-6)
    assert found.confusion is not None
    assert np.trace(found.confusion) / found.rows == pytest.approx(found.metrics["accuracy"])
    assert [one.loss for one in found.worst] == sorted((w.loss for w in found.worst), reverse=True)
    with pytest.raises(HpoError, match=r"--metric: unknown name 'acuracy'\. Did you mean"):
        explained(model, rows_to_explain(model, None, (churn,), None), How("acuracy"))


def test_the_worst_rows_are_named_by_their_place_in_the_file(churn: Path) -> None:
    model = load_model(churn / "model", "cpu")
    found = explained(model, rows_to_explain(model, churn / "table.csv", (churn,), None), HOW)
    table = pd.read_csv(churn / "table.csv")
    told = hpo.load(churn / "model").predict(churn / "table.csv")
    for one in found.worst:
        assert one.truth == table["churn"][one.row - 1]
        assert one.answer == told["churn"][one.row - 1]
        assert one.loss == pytest.approx(-np.log(told[f"churn_{one.truth}"][one.row - 1]))


def test_few_rows_of_many_are_shuffled(churn: Path) -> None:
    model = load_model(churn / "model", "cpu")
    new = rows_to_explain(model, churn / "table.csv", (churn,), None)
    few, all_ = (explained(model, new, How(repeats=2, rows=rows)) for rows in (30, 120))
    assert (few.rows, few.metrics) == (all_.rows, all_.metrics)
    assert few.importance != all_.importance


def test_a_single_row_has_neither_importance_nor_parts(churn: Path) -> None:
    model = load_model(churn / "model", "cpu")
    new = rows_to_explain(model, churn / "table.csv", (churn,), None)
    found = explained(model, replace(new, source=new.source.take(slice(1))), HOW)
    assert (found.rows, found.importance, found.attribution) == (1, (), None)
    assert len(found.worst) == 1


def test_quantities_have_columns_and_worst_rows_in_the_unit_of_the_target(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv", target="score")
    model = load_model(trained(studies, tmp_path, "train.epochs=30"), "cpu")
    found = explained(
        model, rows_to_explain(model, tmp_path / "table.csv", (tmp_path,), None), How("r2", 2)
    )
    assert (found.confusion, found.calibration, found.errors) == (None, (), None)
    truth = pd.read_csv(tmp_path / "table.csv")["churn"]
    answers = model.predictions(
        rows_to_explain(model, tmp_path / "table.csv", (tmp_path,), None).source
    )
    errors = np.abs(answers[:, 0] - truth)
    assert found.worst[0].row - 1 == errors.argmax()
    assert found.worst[0].loss == pytest.approx(errors.max(), rel=1e-5)
    # Less of r2 is worse, so that what matters is above 0 as for a loss.
    assert {one.column for one in found.importance[:2]} == {"age", "city"}
    assert found.importance[0].mean > 0


def test_two_classes_are_judged_above_the_threshold_that_was_chosen(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    model = load_model(
        trained(studies, tmp_path, "train.threshold=f1", "train.metrics=[f1]"), "cpu"
    )
    stored = json.loads((model.folder / "metrics.json").read_text())["metrics"]["validation"]
    found = explained(model, rows_to_explain(model, None, (tmp_path,), None), HOW)
    for name in ("f1", "accuracy"):
        assert found.metrics[name] == pytest.approx(stored[name], abs=1e-6)
    assert found.confusion is not None
    assert np.trace(found.confusion) / found.rows == pytest.approx(found.metrics["accuracy"])
