"""The model of a spec as a baseline: what it learns, and where there is none."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hpo.data.dataset import DataSet, Split
from hpo.spec.experiment import Training
from hpo.spec.sections.data import Task
from hpo.study.baselines.estimators import Problem
from hpo.study.baselines.network import TooSlowError, network_of, trained
from tests.engine.samples import a_training
from tests.study.baselines.samples import ROWS, a_data_set

EPOCHS = 40


def a_spec(**leaves: object) -> Training:
    model = {"name": "mlp", "widths": [8], "dropout": 0.0}
    given = {"model": model, "train": {"epochs": EPOCHS}, **leaves}
    return a_training(**given)


@pytest.mark.parametrize(
    ("task", "outputs"),
    [("classification", 3), ("regression", 1), ("multilabel", 2), ("counts", 1)],
)
def test_it_learns_and_predicts_what_the_judge_expects(task: Task, outputs: int) -> None:
    data = a_data_set(task, outputs, weighted=True)
    network = json.loads(json.dumps(network_of(data, a_spec())))
    weight = data.train.arrays["weight"]
    problem = Problem(task, outputs, data.train.x, data.train.y, weight, 7)
    found = trained({**network, "seconds": 60.0}, problem)(data.train.x)
    assert found.shape == (ROWS[0], outputs)
    if task == "classification":
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
        assert (found.argmax(1) == data.train.y).mean() > 0.7
        with pytest.raises(TooSlowError):
            trained({**network, "seconds": 0.0}, problem)
    elif task == "multilabel":
        assert ((found > 0.5) == data.train.y).mean() > 0.7
    else:
        y = data.train.y.reshape(len(found), -1)
        assert np.average((found - y) ** 2, weights=weight, axis=0) < np.var(y)
        assert task == "regression" or (found > 0).all()


def test_there_is_none_for_loaded_vectors_bounded_answers_and_weights_of_a_folder() -> None:
    data = a_data_set("classification", 2)
    spec = a_spec()
    network = network_of(data, spec)
    assert network is not None
    assert network["example_shape"] == [4]
    assert network["training"]["train"]["epochs"] == EPOCHS
    loaded: Any = SimpleNamespace(train=data.train, embedding_size=8)
    assert network_of(loaded, spec) is None
    bounded = a_spec(model={"name": "mlp", "widths": [8], "output": "tanh"})
    assert network_of(data, bounded) is None
    started = a_spec(model={"name": "mlp", "widths": [8], "from": "somewhere"})
    assert network_of(data, started) is None


@pytest.mark.long
def test_it_learns_from_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    # The class is whether the token 3 is there, which no place alone tells.
    ids = np.random.default_rng(0).integers(2, 6, (80, 5)).astype(np.int32)
    y = (ids == 3).any(1).astype(np.int32)
    train, judged = (Split({"x": ids[rows], "y": y[rows]}) for rows in (slice(60), slice(60, 80)))
    data = DataSet("classification", train, judged, None, 2, "known")
    monkeypatch.setattr(DataSet, "vocabulary", 6)
    model = {"name": "transformer", "width": 8, "heads": 2, "depth": 1, "dropout": 0.0}
    network = json.loads(json.dumps(network_of(data, a_spec(model=model))))
    problem = Problem("classification", 2, train.x, train.y, None, 7)
    found = trained({**network, "seconds": 600.0}, problem)(judged.x)
    assert (found.argmax(1) == judged.y).mean() > 0.8


def test_images_keep_their_shape() -> None:
    data = a_data_set("classification", 2)
    squares = Split({"x": data.train.x.reshape(-1, 2, 2, 1), "y": data.train.y})
    model = {"name": "cnn", "filters": [2], "dense": 4}
    network = network_of(replace(data, train=squares), a_spec(model=model))
    assert network is not None
    network["training"]["train"]["epochs"] = 1
    problem = Problem("classification", 2, data.train.x, data.train.y, None, 7)
    predict = trained({**network, "seconds": 60.0}, problem)
    assert predict(data.validation.x).shape == (ROWS[1], 2)
