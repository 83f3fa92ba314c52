"""A search whose trials train on folds: one program, one load, and what it leaves."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo.data import load
from hpo.errors import SpecError
from hpo.report.export import export_trial
from hpo.report.study_report import study_report
from hpo.spec.load import experiment_from_document
from hpo.study.loop.replicas import deviation_of, final_reports, mean_of
from hpo.study.storage.tables import Storage
from hpo.trial import Run
from tests.study.whole import Studies, an_experiment


def test_eight_folds_are_one_program_and_one_load(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Any] = []

    def read(*arguments: Any) -> Any:
        reads.append(arguments)
        return read_source(*arguments)

    read_source = load.read_source
    monkeypatch.setattr(load, "read_source", read)
    experiment = an_experiment(
        "data.folds=8",
        "search.trials=3",
        "search.scheduler.min_epochs=1",
        "train.merged=none",
        space={"optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True}},
    )
    outcome = studies.run(experiment, cache=tmp_path / "fresh")
    assert (len(reads), outcome.progress.programs) == (1, 1)
    state, best = studies.state(experiment), outcome.progress.best
    assert best is not None
    folds = final_reports(state, best.number, 4)
    runs = {Run(best.number, 0, fold) for fold in range(8)}
    assert state.replicas[best.number].keys() == runs
    assert state.metrics[best.number][3] == mean_of(folds)
    with Storage.read(studies.url) as storage:
        report = study_report(storage, experiment.name, 3)
        exported = export_trial(storage, experiment.name, None, None, date(2026, 1, 1))
    assert report.top[0].deviation == deviation_of(folds)["accuracy"] > 0
    assert report.overview.epochs == 8 * sum(trial.epochs for trial in state.trials)
    assert "after 4 epochs, the mean of 8 folds" in exported.text
    document = yaml.safe_load(exported.text)
    assert (document["data"]["folds"], "validation" in document["data"]) == (8, False)
    winner = experiment_from_document(document, tmp_path, "best")
    curve = [report.metrics for report in studies.train(winner, tmp_path / "model").curve]
    assert curve == state.metrics[best.number]
    weights = {path.name for path in (tmp_path / "model" / "weights").iterdir()}
    transforms = {path.name for path in (tmp_path / "model" / "transforms").iterdir()}
    assert weights == {f"fold-{fold}" for fold in range(8)}
    assert transforms == {f"fold-{fold}.npz" for fold in range(8)}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.folds=3", "data.validation=0.1"],
            "is for a single split, and folds validate in turn: remove it, or write 0.2",
        ),
        (["data.folds=1"], "data.folds=1: cannot be 1: write a whole number of at least 2"),
        (
            ["data.folds=3", "data.dataset={csv: t.csv, target: y}", "data.split={column: part}"],
            "column names the split of each row, and data.folds draws them: remove it",
        ),
        (
            ["data.folds=3", "search.scheduler={name: pbt, interval: 1}"],
            "data.folds=3: cannot be 3: pbt copies a trial as one lane, and each fold is a lane",
        ),
    ],
)
def test_what_does_not_go_with_folds_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        an_experiment(*overrides)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
