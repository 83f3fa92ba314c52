"""Population based training on the real engine: a winner's schedule can be repeated."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from hpo.report.export import export_trial
from hpo.report.study_report import study_report
from hpo.spec.load import load_experiment
from hpo.study.log.lineage import trained_by
from hpo.study.storage.tables import Storage
from hpo.trial import TrialState
from tests.study.whole import DOCUMENT, Studies, an_experiment

SEARCH = {
    **DOCUMENT["search"],
    "scheduler": {"name": "pbt", "population": 5, "interval": 1, "quantile": 0.4},
    "objective": {"minimize": "loss"},
    "baselines": False,
    "trials": 5,
}
# The upper end diverges, and so does any trial that is perturbed beyond it.
SPACE = {
    "model.dropout": {"float": [0.0, 0.5]},
    "optimizer.learning_rate": {"float": [1e-2, 1e3], "log": True},
}
OPTIMIZER = {"name": "sgd"}


@pytest.fixture
def studies(tmp_path: Path, compile_cache: Path) -> Studies:
    return Studies(tmp_path, compile_cache)


@pytest.mark.long
def test_the_winners_schedule_reproduces_its_metrics(studies: Studies, tmp_path: Path) -> None:
    experiment = an_experiment("train.epochs=5", search=SEARCH, space=SPACE, optimizer=OPTIMIZER)
    outcome = studies.run(experiment)
    assert set(outcome.progress.states) <= {TrialState.COMPLETE, TrialState.DIVERGED}
    state = studies.state(experiment)
    exploits = [n for n in range(5) if state.trial(n).exploited]
    assert exploits
    best = outcome.progress.best
    assert best is not None
    evolved = max(exploits, key=lambda n: len(state.lineage(n)))
    for number in {best.number, evolved}:
        path = tmp_path / f"{number}.yaml"
        with Storage.read(studies.url) as storage:
            exported = export_trial(storage, "flowers", number, path, date(2026, 11, 22))
        path.write_text(exported.text)
        again = load_experiment(path)
        trained = studies.train(again, tmp_path / f"model-{number}")
        lineage = state.lineage(number)
        assert [report.metrics for report in trained.curve][: state.trial(number).epochs] == [
            state.metrics[trained_by(lineage, epoch)][epoch - 1]
            for epoch in range(1, state.trial(number).epochs + 1)
        ]
        assert again.training.train.stream == lineage[0].trial
    with Storage.read(studies.url) as storage:
        report = study_report(storage, "flowers", 3)
    assert report.lineage == state.lineage(best.number)
    assert report.curve[-1] == best.losses[-1]


@pytest.mark.long
def test_a_population_learns_the_same_in_one_lane_as_in_five(
    studies: Studies,
) -> None:
    parts = {"search": SEARCH, "space": SPACE, "optimizer": OPTIMIZER}
    one = an_experiment("train.lanes=1", "name=one", **parts)
    five = an_experiment("train.lanes=5", "name=five", **parts)
    studies.run(one)
    studies.run(five)
    assert studies.state(one).trials == studies.state(five).trials
