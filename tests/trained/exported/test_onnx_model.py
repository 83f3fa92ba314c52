"""Whole models in the engine, from the cells of rows to their answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import HpoError
from hpo.trained.exported.onnx_model import (
    answers,
    cells_of,
    check_kind,
    onnx_model,
    session,
    text_inputs,
)
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


def test_a_model_that_goes_on_with_texts_is_refused_in_a_sentence(tmp_path: Path) -> None:
    model, _ = drawn(tmp_path, data_of(tmp_path, "texts"), {"name": "rnn", "width": 4})
    going_on = replace(model, description=replace(model.description, task="language"))
    with pytest.raises(HpoError, match=r"goes on with texts: use --format stablehlo"):
        check_kind(going_on)


def test_the_input_of_texts_is_that_of_the_script(tmp_path: Path) -> None:
    model, rows = drawn(tmp_path, data_of(tmp_path, "texts"), {"name": "rnn", "width": 4})
    assert rows is not None
    (told,) = text_inputs(model)
    assert (told["input"], told["column"], told["length"]) == ("text_0_0", "text", 6)
    cells = cells_of(rows, model)
    np.testing.assert_array_equal(cells["text_0_0"], model.features(model.members[0], rows))
    engine = session(onnx_model(model).SerializeToString())
    assert [one.name for one in engine.get_inputs()] == [*cells] == ["text_0_0"]
