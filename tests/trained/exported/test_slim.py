"""A model of which units were cut, without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.engine.training.compression.packing import leaves
from hpo.spec.experiment import Experiment
from hpo.spec.load import load_document
from hpo.spec.marks import with_leaves
from hpo.trained.exported.slim import slimmed, units_of
from hpo.trained.model import Model, load_model
from hpo.trained.packed import with_arrays
from tests.study.whole import Studies


def an_experiment(model: dict[str, Any]) -> Experiment:
    """A training on few images of digits that cuts half of the units."""
    document = {
        "name": "digits",
        "data": {"dataset": "digits", "rows": 150, "batch_size": 32},
        "model": model,
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "compression": {"sparsity": {"name": "magnitude", "share": 0.5, "unit": "unit"}},
        "train": {"epochs": 3},
    }
    return load_document(document, Path())


def with_weights(model: Model, **changed: np.ndarray) -> Model:
    """A model with other arrays by their names, in which `__` stands for `/`."""
    (member,) = model.members
    arrays = {name: np.array(one) for name, one in leaves(member.weights)}
    arrays |= {f"params/{name.replace('__', '/')}": one for name, one in changed.items()}
    return replace(model, members=(member._replace(weights=with_arrays(member.weights, arrays)),))


def answers(model: Model) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(20, *model.description.shape)).astype(np.float32)
    return model.outputs(model.members[0], x)


def shapes(model: Model) -> dict[str, tuple[int, ...]]:
    return {name: one.shape for name, one in leaves(model.members[0].weights)}


def test_a_perceptron_loses_the_units_that_read_nothing_and_keeps_its_answers(
    studies: Studies, tmp_path: Path
) -> None:
    spec = {"name": "mlp", "widths": [8, 6], "activation": "sigmoid", "norm": "batch"}
    studies.train(an_experiment(spec), tmp_path / "model")
    model = load_model(tmp_path / "model", "cpu")
    slim = slimmed(model)
    # A unit that is cut answers 0.5 by a sigmoid: the head has a bias to add that to, and the
    # layer before a batch norm has none.
    assert slim.training.model.widths == (8, 3)
    assert (units_of(model), units_of(slim)) == (14, 11)
    assert shapes(slim)["params/head/kernel"] == (3, 10)
    assert shapes(slim)["variables/norms/1/mean"] == (3,)
    np.testing.assert_allclose(answers(slim), answers(model), atol=1e-6)


def test_a_network_of_images_loses_filters_and_what_reads_them(
    studies: Studies, tmp_path: Path
) -> None:
    spec = {"name": "cnn", "filters": [4, 6], "dense": 8}
    studies.train(an_experiment(spec), tmp_path / "model")
    model = load_model(tmp_path / "model", "cpu")
    slim = slimmed(model)
    assert (slim.training.model.filters, slim.training.model.dense) == ((2, 3), (4,))
    assert shapes(slim)["params/convs/1/kernel"] == (3, 3, 2, 3)
    assert shapes(slim)["params/dense/kernel"] == (2 * 2 * 3, 4)
    np.testing.assert_allclose(answers(slim), answers(model), atol=1e-5)

    # The units that are cut have a bias, too: it goes into the next one, but not around an image.
    bias = np.linspace(0.5, 1.5, 8, dtype=np.float32)
    other = with_weights(model, dense__bias=bias, convs__0__bias=bias[:4], convs__1__bias=bias[:6])
    assert units_of(slimmed(other)) == 4 + 6 + 4
    np.testing.assert_allclose(answers(slimmed(other)), answers(other), atol=1e-5)
    assert not np.allclose(answers(other), answers(model), atol=1e-2)

    # Which units answer may depend on those that are cut.
    kept = with_leaves(model.training, {"compression.activations.top": 0.5})
    by_others = replace(model, training=kept)
    assert slimmed(by_others) is by_others

    # One unit stays where all are cut.
    none = with_weights(model, dense__kernel=np.zeros((24, 8), np.float32))
    assert slimmed(none).training.model.dense == (1,)
    np.testing.assert_allclose(answers(slimmed(none)), answers(none), atol=1e-6)


@pytest.mark.parametrize(
    "leaves", [{"model.norm": "layer"}, {"model.rank": 2}, {"model.widths": ()}]
)
def test_other_networks_stay_whole(churn: Path, leaves: dict[str, Any]) -> None:
    model = load_model(churn / "model", "cpu")
    model = replace(model, training=with_leaves(model.training, leaves))
    assert slimmed(model) is model
    assert units_of(model) == 0
