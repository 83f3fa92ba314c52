"""Whole studies in cohorts: trials proposed together train as lanes of one program."""

from __future__ import annotations

from hpo.spec.experiment import Experiment
from hpo.spec.fill import fill
from hpo.spec.programs import static_leaves
from tests.study.whole import Studies, an_experiment

SPACE = {
    "model.norm": {"choice": ["none", "layer", "batch"]},
    "optimizer.name": {"choice": ["adamw", "sgd"]},
    "optimizer.momentum": {"float": [0.5, 0.9], "when": {"optimizer.name": "sgd"}},
    "optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True},
}
SEARCH = {
    "sampler": {"name": "tpe", "startup_trials": 3},
    "scheduler": {"name": "none"},
    "objective": {"maximize": "accuracy"},
    "baselines": False,
    "trials": 8,
}


def test_the_trials_of_a_cohort_share_a_program_also_after_a_resume(studies: Studies) -> None:
    def experiment(trials: int) -> Experiment:
        search = {**SEARCH, "cohort": 4, "trials": trials}
        return an_experiment("train.epochs=2", "train.merged={}", space=SPACE, search=search)

    assert studies.run(experiment(6)).reason == "finished"
    assert studies.run(experiment(8), explains=True).reason == "finished"
    state = studies.state(experiment(8))
    training = experiment(8).training
    shapes = [static_leaves(fill(training, trial.hparams, trial.number)) for trial in state.trials]
    assert len(shapes) == 8
    assert len(set(shapes[:4])) == len(set(shapes[4:])) == 1
    # Each shape is one program, and the pins are those that were trained.
    assert len(state.pins) == len(set(shapes))
    rates = [trial.hparams["optimizer.learning_rate"] for trial in state.trials]
    assert len(set(rates)) == 8
    text = "4 trials in a row share a program: the first decides model.norm, optimizer.name"
    assert any(text in sentence for sentence in studies.said)
