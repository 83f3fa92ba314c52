"""A program's model as shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from hpo.data.dataset import DataSet
from hpo.data.load import load_data
from hpo.engine.models.abstract import abstract_model
from hpo.engine.program import split
from hpo.errors import HpoError
from hpo.registry import MODELS
from tests.engine.samples import a_training


def test_weights_and_statistics_stay_in_float32_under_bfloat16(images: DataSet) -> None:
    training = a_training(
        model={"name": "cnn", "norm": "batch"}, train={"epochs": 1, "precision": "bfloat16"}
    )
    _, *shapes = abstract_model(split(training, images, "cpu")[0])[:3]
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


def test_any_model_that_needs_images_is_refused_on_examples_of_another_shape(
    tiny: DataSet, images: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "fourier", replace(MODELS["fourier"], needs=("images",)))
    training = a_training(model={"name": "fourier", "features": 17})
    with pytest.raises(HpoError, match=r"'fourier' needs images, .* the shape \(5,\): use mlp\."):
        abstract_model(split(training, tiny, "cpu")[0])
    assert abstract_model(split(training, images, "cpu")[0]).params


def test_ids_of_tokens_are_refused_by_a_model_that_learns_from_features(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,y\n" + "so good,1\nso bad,0\nnot bad,1\n" * 9)
    dataset = {"csv": "t.csv", "target": "y"}
    columns = {"by_name": {"text": {"type": "text"}}}
    part = {"dataset": dataset, "columns": columns, "text": {"vectors": "ids"}, "batch_size": 4}
    training = a_training(data=part)
    data = load_data(training.data, tmp_path, None)
    with pytest.raises(
        HpoError, match=r"'mlp' learns from features, and these data are ids of tok"
    ):
        abstract_model(split(training, data, "cpu")[0])
