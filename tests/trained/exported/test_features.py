"""The features of a graph, compared with those of the fit that it is made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.load import load_data, read_source
from hpo.data.source import Source
from hpo.spec.load import load_document
from hpo.trained.description import Description
from hpo.trained.exported.features import add_features, add_inputs
from hpo.trained.exported.graph import Graph
from hpo.trained.exported.onnx_model import session
from tests.trained.exported.drawn import data_of, write

SECTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "embedded": {"columns": {"encode": "embed"}},
    "ordinal": {"columns": {"encode": "ordinal"}, "normalize": "minmax"},
    "target": {"columns": {"encode": "target"}},
    "hashed": {"columns": {"encode": "hashing", "by_name": {"d": {"impute": "constant"}}}},
    "flagged": {"columns": {"impute": "constant", "flag": True}},
    "logarithms": {"columns": {"by_name": {"a": {"transform": "log"}}}, "clip": 3.0},
    "quantiles": {"columns": {"by_name": {"b": {"transform": "quantile"}}}},
    "components": {"reduce": {"name": "pca", "components": 2}},
    "white": {"normalize": "whiten"},
    "bare": {"normalize": "none"},
}


def _table(folder: Path) -> dict[str, Any]:
    rng, rows = np.random.default_rng(3), []
    for row in range(60):
        cells = [round(rng.normal(40, 9), 2), round(rng.normal(), 3), "uvw"[row % 3], "é-"[row % 2]]
        cells = ["" if rng.random() < 0.2 else cell for cell in cells]
        rows.append([*cells, "", "ny"[int(rng.random() > 0.5)]])
    write(folder / "table.csv", ["a", "b", "c", "d", "nothing", "y"], rows)
    return {"dataset": {"csv": "table.csv", "target": "y"}, "batch_size": 8}


def _both(folder: Path, data: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The features of all rows, some of them with cells that no row trained, in both ways."""
    document = {
        "name": "x",
        "data": data,
        "model": {"name": "mlp"},
        "optimizer": {"name": "adamw"},
        "train": {"epochs": 1},
    }
    experiment = load_document(document, folder)
    loaded = load_data(experiment.training.data, folder, None)
    told = Description.of(loaded)
    source = read_source(experiment.training.data, folder, None)
    if source.categories is not None:
        codes = source.categories.copy()
        codes[:2] = [len(texts) for texts in source.values]
        values = tuple([*texts, "new"] for texts in source.values)
        source = replace(source, categories=codes, values=values)
    expected = loaded.transform.apply(source)
    graph = Graph()
    inputs = add_inputs(graph, told.features)
    x = add_features(graph, inputs, told.features, loaded.transform, expected.shape[1])
    graph.output(x, "features", np.float32, expected.shape[1:])
    engine = session(graph.model().SerializeToString())
    return engine.run(None, _cells(source))[0], expected


def _cells(source: Source) -> dict[str, np.ndarray]:
    if not (source.names or source.text_names):
        return {"x": source.x}
    cells = {"numbers": source.x.astype(np.float64)} if source.names else {}
    if source.categories is not None:
        pairs = zip(source.categories.T, source.values, strict=True)
        columns = [["" if code < 0 else texts[code] for code in codes] for codes, texts in pairs]
        cells["texts"] = np.array(columns, object).T
    return cells


@pytest.mark.parametrize("name", SECTIONS)
def test_the_graph_makes_the_features_of_the_fit(name: str, tmp_path: Path) -> None:
    found, expected = _both(tmp_path, _table(tmp_path) | SECTIONS[name])
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("normalize", ["standard", "whiten"])
def test_images_are_scaled_by_channel(normalize: str, tmp_path: Path) -> None:
    found, expected = _both(tmp_path, data_of(tmp_path, "colours") | {"normalize": normalize})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalize", ["standard", "whiten"])
def test_images_are_made_smaller_as_in_training(normalize: str, tmp_path: Path) -> None:
    smaller = {"normalize": normalize, "image_size": 5}
    found, expected = _both(tmp_path, data_of(tmp_path, "colours") | smaller)
    assert found.shape[1:] == (5, 5, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    x = np.random.default_rng(0).normal(size=(40, 6, 4, 2))
    np.savez(tmp_path / "numbers.npz", x=x, y=np.arange(40) % 2)
    numbers = {"dataset": {"npz": "numbers.npz"}, "batch_size": 8, **smaller}
    found, expected = _both(tmp_path, numbers)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
