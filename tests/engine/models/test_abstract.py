"""A program's model as shapes."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import abstract_model
from hpo.engine.program import split
from tests.engine.samples import a_training


def test_weights_and_statistics_stay_in_float32_under_bfloat16(images: DataSet) -> None:
    training = a_training(
        model={"name": "cnn", "norm": "batch"}, train={"epochs": 1, "precision": "bfloat16"}
    )
    _, *shapes = abstract_model(split(training, images, "cpu")[0])[:3]
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
