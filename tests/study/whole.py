"""Whole studies on the real engine, in a database of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo.spec.experiment import Experiment
from hpo.spec.load import experiment_from_document
from hpo.study.log.events import StudyState, fold
from hpo.study.log.judging import Judging
from hpo.study.progress import Outcome
from hpo.study.run import run_study
from hpo.study.signals import StopRequest
from hpo.study.storage.tables import Storage
from hpo.study.surroundings import Surroundings
from hpo.study.train import train_to_folder
from hpo.trained.save import Trained

DOCUMENT: dict[str, Any] = {
    "name": "flowers",
    "data": {"dataset": "iris", "batch_size": 16},
    "model": {"name": "mlp", "widths": [8]},
    "optimizer": {"name": "adamw", "schedule": {"name": "cosine"}},
    "train": {"epochs": 4},
    "space": {
        "model.dropout": {"float": [0.0, 0.5]},
        "optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True},
    },
    "search": {
        "sampler": {"name": "random"},
        "scheduler": {"name": "successive_halving", "eta": 2},
        "objective": {"maximize": "accuracy"},
        "baselines": False,
        "trials": 8,
    },
}


def an_experiment(*overrides: str, **parts: Any) -> Experiment:
    return experiment_from_document({**DOCUMENT, **parts}, Path.cwd(), "test", overrides)


class Studies:
    """Runs studies in one database; what they said is in `said`."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.url = f"sqlite:///{folder / 'hpo.db'}"
        self.around = Surroundings(self.url, None, cache, device="cpu", typed=folder / "typed")
        self.said: list[str] = []

    def run(
        self, experiment: Experiment, stop: StopRequest | None = None, **around: Any
    ) -> Outcome:
        return run_study(
            experiment,
            replace(self.around, **around),
            lambda _: None,
            self.said.append,
            stop or StopRequest(),
        )

    def state(self, experiment: Experiment, name: str | None = None) -> StudyState:
        assert experiment.search is not None
        with Storage.read(self.url) as storage:
            events = storage.events(storage.study(name or experiment.name).id)
        goal = experiment.search.goal
        return fold(events, goal, judging=Judging.of(experiment.training.train, goal.first))

    def curves(self, experiment: Experiment) -> list[Any]:
        state = self.state(experiment)
        return [state.metrics[number] for number in range(len(state))]

    def train(self, experiment: Experiment, folder: Path, *, is_refit: bool = False) -> Trained:
        return train_to_folder(
            experiment,
            folder,
            self.around,
            lambda _: None,
            self.said.append,
            StopRequest(),
            is_refit=is_refit,
        )
