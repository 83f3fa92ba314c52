"""Whole models in the engine, from the cells of rows to their answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jax import export
from onnx import numpy_helper

from hpo.errors import HpoError
from hpo.trained.ensembles.ensemble import Ensemble
from hpo.trained.exported.answers import scale_of
from hpo.trained.exported.network import stablehlo
from hpo.trained.exported.onnx_model import (
    answers,
    cells_of,
    onnx_model,
    session,
    text_inputs,
)
from hpo.trained.model import load_model
from hpo.trained.predict import read_new
from tests.study.whole import Studies
from tests.trained.exported.drawn import data_of, drawn, windows_of_days
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


@pytest.mark.long
def test_the_file_of_a_compressed_model_holds_its_zeros_and_levels(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    compression = {
        "weights": {"name": "integer", "bits": 3},
        "sparsity": {"name": "magnitude", "share": 0.5, "scope": "layer", "begin": 0, "end": 0.5},
    }
    folder = trained(studies, tmp_path, "train.epochs=2", compression=compression)
    graph = onnx_model(load_model(folder, "cpu")).graph
    arrays = [numpy_helper.to_array(one) for one in graph.initializer]
    kernels = [array for array in arrays if array.dtype == np.float32 and array.ndim == 2]
    assert sorted(kernel.shape for kernel in kernels) == [(4, 2), (11, 4)]
    for kernel in kernels:
        assert np.count_nonzero(kernel) == kernel.size // 2
        # Of 3 bits, 7 levels are whole numbers of steps, the largest weight being 3 of them.
        levels = kernel / (np.abs(kernel).max() / 3)
        np.testing.assert_allclose(levels, np.rint(levels), atol=1e-5)


OWN = """
import jax
from flax import nnx


class Gated(nnx.Module):
    def __init__(self, inputs, outputs, *, rngs):
        self.gate = nnx.Linear(inputs, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.head = nnx.Linear(4, outputs, rngs=rngs)

    def __call__(self, x, *, train=False, rngs=None):
        x = self.norm(self.gate(x), use_running_average=not train)
        return self.head(x * jax.nn.sigmoid(x))
"""
# Of each kind of answers: the data, the model, and what else its spec says.
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "several targets": ("amounts", {"name": "mlp", "widths": [4]}, {}),
    "a quantile": (
        "amount",
        {"name": "mlp", "widths": [4]},
        {"loss": {"name": "pinball", "quantile": 0.9}},
    ),
    "masks": ("masks", {"name": "unet", "filters": 2, "depth": 1}, {}),
    "code of one's own": ("table", {"python": "own.py:Gated"}, {}),
    "windows": ("windows", {"name": "rnn", "width": 4}, {}),
    "windows of the target alone": ("target alone", {"name": "mlp", "widths": [4]}, {}),
    "tokens": ("language", {"name": "transformer", "width": 8, "depth": 1}, {}),
}


def _data(folder: Path, kind: str) -> dict[str, Any]:
    if kind == "amount":
        data = data_of(folder, "amounts")
        return {**data, "dataset": {**data["dataset"], "target": "y"}}
    if kind == "target alone":
        drop = {"drop": ["heat", "mode"], "horizon": 1}
        return {**windows_of_days(folder, **drop), "target_range": [-5, 20]}
    return data_of(folder, kind)


@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_answers_is_that_of_the_model_in_both_formats(
    name: str, tmp_path: Path
) -> None:
    kind, spec, more = KINDS[name]
    (tmp_path / "own.py").write_text(OWN)
    model, rows = drawn(tmp_path, _data(tmp_path, kind), spec, **more)
    assert rows is not None
    engine, cells = session(onnx_model(model).SerializeToString()), cells_of(rows, model)
    expected = model.predictions(rows)
    unit = 1.0
    if model.description.task == "regression":
        unit = scale_of(model.data)[0]
    found = answers(engine, cells, 512)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found / unit, expected / unit, atol=2e-6)
    # Many rows at once are answered as each alone is.
    np.testing.assert_allclose(answers(engine, cells, 1) / unit, found / unit, atol=2e-7)
    many = {name: np.concatenate([one] * 77)[:77] for name, one in cells.items()}
    alone = np.concatenate([found] * 77)[:77]
    np.testing.assert_allclose(answers(engine, many, 77) / unit, alone / unit, atol=2e-7)
    answering = export.deserialize(bytearray(stablehlo(model))).call
    (features,) = model.features_of(rows)
    np.testing.assert_allclose(answering(features) / unit, expected / unit, atol=2e-6)


def test_a_forecast_is_that_of_a_line_by_hand(tmp_path: Path) -> None:
    """The windows of a CSV file and their forecasts, computed by NumPy from its cells alone."""
    data = windows_of_days(tmp_path, drop=["heat", "mode"])
    model, rows = drawn(tmp_path, data, {"name": "mlp", "widths": []})
    assert rows is not None
    lines = sorted((tmp_path / "days.csv").read_text().splitlines()[1:])
    power = np.array([float(line.rpartition(",")[2]) for line in lines])
    train, validating = power[:36], power[36:48]  # a fifth validates, and another tests
    mean, std = train.mean(), train.std()
    kernel = np.asarray(model.members[0].weights["params"]["head"]["kernel"])
    bias = np.asarray(model.members[0].weights["params"]["head"]["bias"])
    past = np.stack([validating[start : start + 4] for start in range(len(validating) - 3)])
    expected = ((past - mean) / std @ kernel + bias) * std + mean
    engine = session(onnx_model(model).SerializeToString())
    (given,) = engine.get_inputs()
    assert (given.name, given.shape) == ("past", ["batch", 4])
    (found,) = engine.run(None, {"past": past})
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["table", "windows", "texts"])
def test_an_ensemble_is_one_graph_with_the_shares_of_its_models(kind: str, tmp_path: Path) -> None:
    spec = {"name": "rnn", "width": 4} if kind != "table" else {"name": "mlp", "widths": [4]}
    data = data_of(tmp_path, kind)
    other = {**data, "normalize": "minmax"} if kind == "table" else data
    first, rows = drawn(tmp_path, data, spec)
    second, _ = drawn(tmp_path, other, spec)
    assert rows is not None
    both = Ensemble(tmp_path, (first, second), (0.25, 0.75), temperature=1.5)
    if kind == "windows":
        both = replace(both, temperature=1.0)
    engine = session(onnx_model(both).SerializeToString())
    one, two = first.predictions(rows), second.predictions(rows)
    assert abs(one - two).max() > 1e-3
    expected = 0.25 * one + 0.75 * two
    if kind != "windows":
        powers = expected ** (1 / 1.5)
        expected = powers / powers.sum(-1, keepdims=True)
    np.testing.assert_allclose(answers(engine, cells_of(rows, both), 5), expected, rtol=1e-5)
    with pytest.raises(HpoError, match="each in its own way: export one of its models"):
        stablehlo(both)


def test_ensembles_that_no_graph_takes_are_refused_in_a_sentence(tmp_path: Path) -> None:
    spec = {"name": "rnn", "width": 4}
    model, _ = drawn(tmp_path, data_of(tmp_path, "language"), spec)
    with pytest.raises(HpoError, match="an ensemble of language models, which hpo predict does no"):
        onnx_model(Ensemble(tmp_path, (model, model), (0.5, 0.5)))
    long, _ = drawn(tmp_path, windows_of_days(tmp_path), spec)
    short, _ = drawn(tmp_path, windows_of_days(tmp_path, window=3), spec)
    with pytest.raises(HpoError, match="read windows of different lengths, and a graph takes one"):
        onnx_model(Ensemble(tmp_path, (long, short), (0.5, 0.5)))


def test_the_input_of_texts_is_that_of_the_script(tmp_path: Path) -> None:
    model, rows = drawn(tmp_path, data_of(tmp_path, "texts"), {"name": "rnn", "width": 4})
    assert rows is not None
    (told,) = text_inputs(model)
    assert (told["input"], told["column"], told["length"]) == ("text_0_0", "text", 6)
    cells = cells_of(rows, model)
    np.testing.assert_array_equal(cells["text_0_0"], model.features(model.members[0], rows))
    engine = session(onnx_model(model).SerializeToString())
    assert [one.name for one in engine.get_inputs()] == [*cells] == ["text_0_0"]
