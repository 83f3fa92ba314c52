"""A sweep of W&B becomes a spec that runs the same script."""

import math
from pathlib import Path

import pytest
import yaml

from hpo.errors import HpoError
from hpo.spec.foreign.wandb import from_wandb
from hpo.spec.load import load_document, require_search

SWEEP = """
program: train.py
project: cats
name: my sweep
method: bayes
metric: {name: val_loss, goal: minimize, target: 0.1}
run_cap: 30
parameters:
  lr: {distribution: log_uniform_values, min: 0.0001, max: 0.1}
  layers: {min: 1, max: 4}
  dropout: {min: 0.0, max: 0.5}
  optimizer: {values: [adam, sgd], probabilities: [0.8, 0.2]}
  epochs: {value: 12}
  model:
    parameters:
      width: {distribution: q_uniform, q: 8, min: 8, max: 64}
early_terminate: {type: hyperband, min_iter: 3, max_iter: 27, s: 2}
"""


def test_a_sweep_becomes_a_valid_spec_that_runs_its_script():
    found = from_wandb(yaml.safe_load(SWEEP))
    experiment = load_document(found.document, Path())

    assert found.document["command"]["run"] == [
        "python",
        "train.py",
        "--lr={lr}",
        "--layers={layers}",
        "--dropout={dropout}",
        "--optimizer={optimizer}",
        "--epochs={epochs}",
        "--model.width={model_width}",
    ]
    assert found.document["command"]["values"] == {"epochs": 12}
    assert found.document["space"] == {
        "lr": {"float": [0.0001, 0.1], "log": True},
        "layers": {"int": [1, 4]},
        "dropout": {"float": [0.0, 0.5]},
        "optimizer": {"choice": ["adam", "sgd"]},
        "model_width": {"int": [8, 64], "step": 8},
    }
    search = require_search(experiment)
    assert (experiment.name, search.trials) == ("my-sweep", 30)
    assert (search.goal.first.metric, search.goal.first.direction) == ("val_loss", "minimize")
    assert (search.scheduler.name, experiment.training.train.epochs) == ("hyperband", 27)


def test_what_has_no_place_is_said_line_by_line():
    assert sorted(from_wandb(yaml.safe_load(SWEEP)).lost) == [
        "early_terminate.s: has no place in a spec",
        "parameters.optimizer.probabilities: all values are equally likely",
        "project: has no place in a spec",
    ]


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        ({"distribution": "log_uniform", "min": -2, "max": 0}, [math.exp(-2), 1.0]),
        ({"distribution": "normal", "mu": 1, "sigma": 0.5}, [0.0, 2.0]),
        ({"distribution": "q_uniform", "q": 0.25, "min": 0, "max": 1.1}, [0.0, 1.0]),
    ],
)
def test_ranges_have_the_same_ends(entry, written):
    (found,) = from_wandb({"parameters": {"a": entry}, "program": "x"}).document["space"].values()
    assert found["float"] == pytest.approx(written)


def test_a_range_that_no_spec_can_say_is_left_out_and_said():
    entry = {"distribution": "inv_log_uniform", "min": 1, "max": 2}
    found = from_wandb({"program": "x", "parameters": {"a": entry, "b": {"values": [1, 2]}}})
    assert [*found.document["space"]] == ["b"]
    assert any(line.startswith("parameters.a: ") for line in found.lost)


def test_a_file_without_parameters_is_refused():
    with pytest.raises(HpoError, match="is no sweep of W&B"):
        from_wandb({"name": "x"})
