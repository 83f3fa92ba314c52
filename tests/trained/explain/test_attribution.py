"""Integrated gradients: complete, and exact for a linear model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpo.data.source import Source
from hpo.trained.explain.attribution import Attribution, attributed, mean_sizes
from hpo.trained.explain.importance import columns_of
from hpo.trained.model import Model, load_model
from hpo.trained.predict import read_new
from hpo.trained.weights import read_weights
from tests.study.whole import Studies
from tests.trained.tables import trained, write_table


def parts_of(model: Model, source: Source, found: np.ndarray) -> Attribution:
    parts = attributed(model, source, source, found, columns_of(model.description.features))
    assert parts is not None
    return parts


def odds(model: Model, source: Source, found: np.ndarray) -> np.ndarray:
    chances = model.predictions(source)[np.arange(len(found)), found]
    return np.log(chances) - np.log1p(-chances)


def test_the_parts_of_a_linear_model_are_weights_times_steps(churn: Path) -> None:
    model = load_model(churn / "model", "cpu")
    source = read_new(model, churn / "table.csv").source
    found = model.predictions(source).argmax(1).astype(np.int32)
    parts = parts_of(model, source, found)
    kernel = read_weights(churn / "model", "model").runs[""]["params/head/kernel"]
    # Of two classes, the odds are the difference of the outputs.
    weights = (kernel[:, 1] - kernel[:, 0]) * np.where(found, 1, -1)[:, None]
    x = model.features(model.members[0], source)
    of_features = weights * (x - x.mean(0))
    # Numbers come first: age, income, member, five parts of the date; then the three cities.
    by_column = {"age": [0], "income": [1], "member": [2], "city": [-3, -2, -1]}
    for name, places in by_column.items():
        own = parts.parts[:, parts.names.index(name)]
        np.testing.assert_allclose(own, of_features[:, places].sum(1), atol=1e-5)
    np.testing.assert_allclose(parts.parts.sum(1), of_features.sum(1), atol=1e-5)
    assert parts.gap < 1e-5


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_parts_of_a_network_add_up_to_the_rise_of_its_answer(
    studies: Studies, tmp_path: Path, activation: str
) -> None:
    write_table(tmp_path / "table.csv")
    net = {"name": "mlp", "widths": [16, 16], "activation": activation}
    model = load_model(trained(studies, tmp_path, "train.epochs=20", model=net), "cpu")
    source = read_new(model, tmp_path / "table.csv").source
    found = np.ones(len(source), np.int32)
    parts = parts_of(model, source, found)
    largest = np.abs(parts.rises).max()
    assert parts.gap < (1e-4 if activation == "gelu" else 1e-3) * largest
    # A row that rises above another one by its odds does so by its parts.
    own = odds(model, source, found)
    np.testing.assert_allclose(parts.rises - parts.rises[0], own - own[0], atol=1e-4)


def test_rows_in_groups_have_the_parts_of_all_together(
    churn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(churn / "model", "cpu")
    source = read_new(model, churn / "table.csv").source
    found = model.predictions(source).argmax(1).astype(np.int32)
    whole = parts_of(model, source, found)
    monkeypatch.setattr("hpo.trained.explain.attribution._BYTES_AT_ONCE", 1 << 19)
    groups = parts_of(model, source, found)
    np.testing.assert_allclose(groups.parts, whole.parts, atol=1e-6)


def test_features_that_mix_columns_have_no_parts_of_columns(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    folder = trained(studies, tmp_path, "data.reduce={name: pca}")
    model = load_model(folder, "cpu")
    source = read_new(model, tmp_path / "table.csv").source
    columns = columns_of(model.description.features)
    found = np.zeros(len(source), np.int32)
    assert attributed(model, source, source, found, columns) is None


def test_sizes_are_means_of_absolute_parts() -> None:
    found = Attribution(("a", "b"), np.array([[1.0, -3.0], [1.0, 1.0]]), np.array([-2.0, 2.5]))
    assert mean_sizes(found) == [("b", 2.0), ("a", 1.0)]
    assert found.gap == 0.5
