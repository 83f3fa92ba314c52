"""The rows by which a model is explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.new.validation import validation_rows
from hpo.data.source import Source
from hpo.errors import HpoError
from hpo.trained.explain.rows import rows_to_explain
from hpo.trained.exported.folder import rows_to_compare
from hpo.trained.model import load_model
from hpo.trained.predict import read_new
from tests.study.whole import Studies
from tests.trained.tables import an_experiment, rows_of, trained, write_rows, write_table


def test_without_data_they_are_the_validation_rows_of_the_training(
    churn: Path, tmp_path: Path
) -> None:
    model = load_model(churn / "model", "cpu")
    own = rows_to_explain(model, None, (tmp_path, churn), None).source  # the first has none
    file = write_rows(
        churn / "table.csv", rows_of(an_experiment(churn), "validation"), tmp_path / "v.csv"
    )
    given = read_new(model, file, with_target=True).source
    np.testing.assert_array_equal(own.y, given.y)
    np.testing.assert_array_equal(model.predictions(own), model.predictions(given))


def test_training_data_that_are_gone_or_have_changed_are_refused(
    churn: Path, tmp_path: Path
) -> None:
    model = load_model(churn / "model", "cpu")
    with pytest.raises(HpoError, match=r"give data with targets: .* cannot be read"):
        rows_to_explain(model, None, (tmp_path,), None)
    text = (churn / "table.csv").read_text()
    (tmp_path / "table.csv").write_text(text.replace("Oslo", "Rome"))
    with pytest.raises(HpoError, match="The data that its spec names have changed"):
        rows_to_explain(model, None, (tmp_path,), None)


def test_folds_leave_no_row_that_no_member_has_trained_on(studies: Studies, tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv")
    model = load_model(trained(studies, tmp_path, "data.folds=2"), "cpu")
    with pytest.raises(HpoError, match="Every row of its folds has trained a member"):
        rows_to_explain(model, None, (tmp_path,), None)
    assert len(rows_to_explain(model, tmp_path / "table.csv", (tmp_path,), None).source) == 120


SOURCE = """
import numpy as np

def load(path):
    with np.load(path) as found:
        print("rows are read")
        return {"x": found["x"], "y": np.where(found["x"][:, 0] > 0, "a", "b")}
"""


@pytest.mark.long
def test_code_of_the_users_own_gives_the_rows_only_where_it_is_trusted(
    studies: Studies, tmp_path: Path, hpo: Any
) -> None:
    (tmp_path / "rows.py").write_text(SOURCE)
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).normal(size=(40, 3)))
    dataset = {"python": "rows.py:load", "path": "rows.npz"}
    spec = an_experiment(tmp_path, data={"dataset": dataset, "batch_size": 8})
    studies.train(spec, tmp_path / "model")
    expected = validation_rows(spec.training.data, tmp_path, None)
    (tmp_path / "rows.py").unlink()  # the folder keeps it
    model = load_model(tmp_path / "model", "cpu")
    told = r"come from rows\.py:load, code of your own: give rows in a file, or read .*model/code"
    for rows in (rows_to_explain, rows_to_compare):
        with pytest.raises(HpoError, match=told):
            rows(model, None, (tmp_path,), None)
        found = rows(model, None, (tmp_path / "other", tmp_path), None, is_trusted=True)
        source = found if isinstance(found, Source) else found.source
        np.testing.assert_array_equal(source.x, expected.x)
        np.testing.assert_array_equal(source.y, expected.y)
    result = hpo("explain", str(tmp_path / "model"), "--trust-code", "--json", "-q")
    assert result.code == 0, result.err
    assert "rows are read" in result.err
    assert json.loads(result.out)["rows"] == len(expected)
