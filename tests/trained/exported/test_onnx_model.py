"""Whole models in the engine, from the cells of rows to their answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpo.errors import HpoError
from hpo.trained.exported.onnx_model import answers, cells_of, check_kind, onnx_model, session
from hpo.trained.model import load_model
from hpo.trained.predict import read_new
from tests.study.whole import Studies
from tests.trained.exported.drawn import data_of, drawn
from tests.trained.tables import trained, write_table


def test_images_have_the_models_answers(tmp_path: Path) -> None:
    spec = {"name": "cnn", "filters": [4], "dense": 8}
    model, rows = drawn(tmp_path, data_of(tmp_path, "colours"), spec)
    engine = session(onnx_model(model).SerializeToString())
    found = answers(engine, cells_of(rows, model), 3)
    np.testing.assert_allclose(found, model.predictions(rows), atol=1e-6)


def test_folds_answer_by_the_mean_of_their_models(studies: Studies, tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", target="spend")
    folder = trained(
        studies,
        tmp_path,
        "data.folds=2",
        "data.columns.encode=ordinal",
        "train.epochs=1",
        "data.dataset.task=regression",
    )
    model = load_model(folder, "cpu")
    assert len(model.members) == 2
    rows = read_new(model, tmp_path / "table.csv").source
    engine = session(onnx_model(model).SerializeToString())
    np.testing.assert_allclose(
        answers(engine, cells_of(rows, model), 512), model.predictions(rows), rtol=1e-5
    )


def test_models_of_texts_are_refused_in_a_sentence(tmp_path: Path) -> None:
    model, _ = drawn(tmp_path, data_of(tmp_path, "texts"), {"name": "rnn", "width": 4})
    with pytest.raises(HpoError, match=r"learns from texts.*use --format stablehlo"):
        check_kind(model)
