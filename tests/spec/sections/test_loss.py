"""The loss section of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.errors import SpecError
from hpo.registry import LOSSES
from hpo.spec.fill import fill
from hpo.spec.load import load_document
from hpo.spec.sections.data import Task
from tests.documents import SMALL

TABLE = {**SMALL["data"], "dataset": {"csv": "t.csv", "target": "y"}}


def searched(metric: str) -> dict[str, Any]:
    space = {"model.dropout": {"float": [0.0, 0.5]}}
    return {"space": space, "search": {"objective": {"maximize": metric}, "trials": 3}}


def test_every_task_has_a_loss_and_every_loss_a_task() -> None:
    tasks = [task for entry in LOSSES.values() for task in entry.tasks]
    assert {*tasks} == {*Task.__args__}  # type: ignore[attr-defined]
    assert all(entry.tasks for entry in LOSSES.values())


def test_name_and_numbers_of_a_loss_vary_without_a_section_of_their_own(tmp_path: Path) -> None:
    space = {
        "loss.name": {"choice": ["cross_entropy", "focal"]},
        "loss.smoothing": {"float": [0.0, 0.2], "when": {"loss.name": "cross_entropy"}},
        "loss.gamma": {"float": [0.0, 4.0], "when": {"loss.name": "focal"}},
    }
    experiment = load_document({**SMALL, "space": space}, tmp_path)

    trial = fill(experiment.training, {"loss.name": "focal", "loss.gamma": 1.5}, 0)

    assert trial.loss.model_dump() == {"name": "focal", "gamma": 1.5}
    assert experiment.training.loss is None


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        (
            {"loss": {"name": "huber"}},
            "loss.name: huber is not a loss of classification: write one of cross_entropy, focal",
        ),
        (
            {"space": {"loss.name": {"choice": ["focal", "mae"]}}},
            "space.loss.name: with 'mae', loss.name mae is not a loss of classification",
        ),
        (
            {"data": TABLE, "loss": {"name": "poisson"}},
            "loss.name: poisson is not a loss of classification or regression: write one of cross_",
        ),
        (
            {"data": TABLE, **searched("iou")},
            "search.objective: iou is not a metric of classification or regression: write one of",
        ),
        (
            {"data": TABLE, "loss": {"name": "focal"}, **searched("r2")},
            "search.objective: r2 is not a metric of classification: write one of",
        ),
        ({"loss": {"name": "focl"}}, "loss.name: unknown name 'focl'. Did you mean 'focal'?"),
        (
            {"space": {"loss.gamma": {"float": [0.0, 1.0]}}},
            "loss.name: is missing: write a name",
        ),
        ({"loss": {"name": "focal", "gamma": -1.0}}, "loss.gamma: "),
        (
            {
                "space": {"loss.name": {"choice": ["focal", "cross_entropy"]}},
                "search": {"objective": {"minimize": "loss"}, "trials": 3},
            },
            "search.objective: loss cannot compare trials, because loss.name varies",
        ),
        (
            {
                "loss": {"name": "focal"},
                "space": {"loss.gamma": {"float": [0.0, 1.0]}},
                "search": {
                    "objective": {"maximize": "accuracy"},
                    "constraints": [{"metric": "train_loss", "at_most": 1}],
                    "trials": 3,
                },
            },
            "search.constraints[0].metric: train_loss cannot compare trials",
        ),
    ],
)
def test_a_wrong_loss_is_refused_in_one_line(
    tmp_path: Path, sections: dict[str, Any], says: str
) -> None:
    with pytest.raises(SpecError) as error:
        load_document({**SMALL, **sections}, tmp_path)
    (line,) = str(error.value).splitlines()
    assert says in line
