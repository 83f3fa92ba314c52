"""Specs of models for tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.engine.program import split
from hpo.errors import SpecError
from hpo.spec.experiment import Experiment
from hpo.spec.fill import fill
from hpo.spec.load import experiment_from_document
from hpo.spec.programs import count_programs
from tests.engine.samples import a_training, tiny_data


@pytest.mark.parametrize(
    ("model", "widths"),
    [
        ({"depth": 3, "width": 64}, [64, 64, 64]),
        ({"depth": 1}, [128]),
        ({"width": 5}, [5, 5]),
        ({"depth": 2, "width": 5, "widths": [5, 5]}, [5, 5]),
        ({}, [128, 128]),
    ],
)
def test_depth_and_width_give_the_program_of_the_widths(
    model: dict[str, Any], widths: list[int]
) -> None:
    written, listed = (
        split(a_training(model={"name": "mlp", **one}), tiny_data(), "cpu")[0]
        for one in (model, {"widths": widths})
    )
    assert written == listed
    assert written.label == listed.label


def experiment(
    model: dict[str, Any], space: dict[str, Any], data: dict[str, Any] | None = None
) -> Experiment:
    document = {
        "name": "x",
        "data": data or {"dataset": "iris"},
        "model": {"name": "mlp", **model},
        "optimizer": {"name": "adamw"},
        "train": {"epochs": 3},
        "space": space,
    }
    return experiment_from_document(document, Path())


def test_a_space_moves_depth_and_width_as_numbers() -> None:
    space = {"model.depth": {"int": [1, 6]}, "model.width": {"int": [16, 512], "log": True}}
    found = experiment({}, {**space, "optimizer.learning_rate": {"float": [0.1, 1.0]}})
    shapes = set()
    for seed in range(20):
        hparams = found.space.draw(np.random.default_rng(seed))
        model = fill(found.training, hparams, seed).model
        assert model.widths == (hparams["model.width"],) * hparams["model.depth"]
        shapes.add(model.widths)
    assert len(shapes) > 10
    assert count_programs(found) == 6 * 497
    moving = {"int": [16, 64], "adapt": [8, 256]}
    assert experiment({}, {"model.width": moving}).space.by_path["model.width"].limits == (8, 256)


@pytest.mark.parametrize(
    ("model", "space"),
    [
        ({"depth": 3, "widths": [64]}, {}),
        ({"widths": [64]}, {"model.depth": {"int": [2, 3]}}),
        ({"width": 64}, {"model.widths": {"choice": [[8], [9]]}}),
        ({}, {"model.widths": {"choice": [[8], [9]]}, "model.width": {"int": [16, 32]}}),
    ],
)
def test_widths_beside_depth_or_width_are_refused(
    model: dict[str, Any], space: dict[str, Any]
) -> None:
    with pytest.raises(SpecError, match=r"widths \[\d+\] are not \d layers of \d+: write widths, "):
        experiment(model, space)


@pytest.mark.parametrize(
    ("data", "model", "said"),
    [
        (
            {"dataset": "diabetes"},
            {"output": "sigmoid"},
            "model.output: sigmoid keeps predictions in data.target_range: write "
            "data.target_range, such as [0, 100], or linear",
        ),
        (
            {"dataset": "iris", "target_range": [0, 3]},
            {},
            "data.target_range: is of quantities, and the task is classification: remove it",
        ),
        (
            {"dataset": "diabetes", "target_range": [350, 20]},
            {},
            "data.target_range: ",
        ),
    ],
)
def test_a_bounded_output_needs_the_range_of_a_quantity(
    data: dict[str, Any], model: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError) as raised:
        experiment(model, {}, data)
    assert str(raised.value).startswith(said)


def test_a_model_that_is_written_out_with_every_leaf_is_read_again() -> None:
    model = a_training(model={"name": "mlp", "depth": 3, "width": 4}).model
    assert experiment(model.model_dump(mode="json"), {}).training.model == model
