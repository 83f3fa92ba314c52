"""What a study is built from: its rules, and the work of its trials."""

from __future__ import annotations

import pytest

from hpo.trial import TrialState
from tests.study.whole import DOCUMENT, Studies, an_experiment


def test_a_trial_that_is_too_large_is_never_trained(studies: Studies) -> None:
    space = {**DOCUMENT["space"], "model.widths": {"choice": [[8], [64]]}}
    limits = "search.constraints=[{metric: parameters, at_most: 100}]"
    outcome = studies.run(an_experiment(limits, "search.scheduler={name: none}", space=space))
    state = studies.state(an_experiment(limits))
    large = [trial for trial in state.trials if trial.hparams["model.widths"] == [64]]
    assert large
    for trial in large:
        assert trial.state is TrialState.INFEASIBLE
        assert trial.violation == pytest.approx((64 * (4 + 1) + 65 * 3) / 100 - 1)
        assert not state.metrics[trial.number]
    others = [trial for trial in state.trials if trial not in large]
    assert all(trial.state is TrialState.COMPLETE for trial in others)
    assert outcome.progress.best in others


def test_a_pruners_bounds_are_in_the_metrics_own_units(studies: Studies) -> None:
    pruner = {"name": "threshold", "lower": 2.0}  # an accuracy is less than that
    search = {**DOCUMENT["search"], "scheduler": {"name": "optuna", "pruner": pruner}}
    experiment = an_experiment(search=search)
    studies.run(experiment)
    ended = [(trial.state, trial.epochs) for trial in studies.state(experiment).trials]
    assert ended == [(TrialState.PRUNED, 1)] * 8
