"""Answers for new data, whatever their format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo.errors import HpoError
from hpo.trained.model import Model, load_model
from hpo.trained.predict import answers, read_new
from tests.study.whole import Studies


@pytest.fixture(scope="module")
def model(churn: Path) -> Model:
    return load_model(churn / "model", "cpu")


def test_answers_are_the_same_from_every_format(churn: Path, model: Model, tmp_path: Path) -> None:
    table = pd.read_csv(churn / "table.csv").drop(columns="churn")
    table.to_json(tmp_path / "new.jsonl", orient="records", lines=True, double_precision=15)
    table.to_parquet(tmp_path / "new.parquet")
    table.to_csv(tmp_path / "new.csv", index=False)
    found = [
        pd.concat(map(pd.DataFrame, answers(model, read_new(model, tmp_path / f"new.{ending}"))))
        for ending in ("csv", "jsonl", "parquet")
    ]
    assert [*found[0]] == ["churn", "churn_no", "churn_yes"]
    assert {*found[0]["churn"]} == {"no", "yes"}
    for other in found[1:]:
        pd.testing.assert_frame_equal(other, found[0], check_exact=True)


def test_progress_counts_the_rows(churn: Path, model: Model) -> None:
    seen: list[int] = []
    for _ in answers(model, read_new(model, churn / "table.csv"), watch=seen.append):
        pass
    assert seen == [120]


def test_a_model_of_other_data_than_tables_is_refused_in_one_sentence(
    studies: Studies, tmp_path: Path
) -> None:
    from tests.trained.tables import an_experiment

    studies.train(an_experiment(tmp_path, data={"dataset": "digits"}), tmp_path / "model")
    np.savez(tmp_path / "new.npz", x=np.zeros((1, 8, 8, 1), np.uint8))
    loaded = load_model(tmp_path / "model", "cpu")
    with pytest.raises(HpoError, match="hpo predict answers for tables of named columns, and this"):
        read_new(loaded, tmp_path / "new.npz")
