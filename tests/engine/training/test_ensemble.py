"""The mean prediction of several models, against one by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.program import split
from hpo.engine.training.ensemble import mean_on_test
from hpo.engine.training.targets.sums import TARGETS
from tests.engine.samples import a_training, tiny_data


def linear(kernel: np.ndarray, bias: np.ndarray) -> dict[str, object]:
    """The weights of a network without hidden layers that gives `kernel` times the features."""
    return {"params": {"head": {"kernel": kernel, "bias": bias}}, "variables": {}}


def test_probabilities_of_the_members_are_averaged() -> None:
    rng = np.random.default_rng(0)
    data = tiny_data()
    members = [
        replace(data, test=Split({"x": data.validation.x + shift, "y": data.validation.y}))
        for shift in (0.0, 0.5)
    ]
    data = replace(data, test=members[0].test, folds=tuple(members))
    training = a_training(model={"name": "mlp", "widths": []}, train={"epochs": 1})
    program, _ = split(training, data, "cpu")
    weights = [
        linear(*(rng.normal(size=size).astype(np.float32) for size in ((5, 3), (3,))))
        for _ in members
    ]
    found = mean_on_test(program, training, weights, members, data)
    total = np.zeros((40, 3))
    for one, member in zip(weights, members, strict=True):
        head = one["params"]["head"]  # type: ignore[index]
        assert member.test is not None
        odds = np.exp(member.test.x.astype(np.float64) @ head["kernel"] + head["bias"])
        total += odds / odds.sum(1, keepdims=True) / 2
    y = data.validation.y
    assert found is not None
    assert found["accuracy"] == np.mean(total.argmax(1) == y)
    assert found["loss"] == pytest.approx(-np.log(total[np.arange(40), y]).mean(), rel=1e-5)


def test_without_test_rows_there_is_no_mean() -> None:
    data, training = tiny_data(), a_training()
    assert mean_on_test(split(training, data, "cpu")[0], training, [], [], data) is None


@pytest.mark.parametrize("kind", ["classification", "multilabel", "counts", "regression"])
def test_outputs_of_a_prediction_give_it_back(kind: str) -> None:
    fit = FittedTransform(target_mean=np.array(100.0), target_std=np.array(2.0))
    data: DataSet = replace(tiny_data(), transform=fit, task=kind)  # type: ignore[arg-type]
    targets = TARGETS[kind]
    outputs = np.random.default_rng(0).normal(size=(7, 3))
    predictions = targets.predictions(outputs, data)
    again = targets.predictions(targets.outputs(predictions, data).astype(np.float64), data)
    np.testing.assert_allclose(again, predictions, rtol=1e-5)
