"""A search whose rungs are shares of the training rows: what it trains, costs and leaves."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from hpo.errors import HpoError, SpecError
from hpo.report.check import check_summary, render
from hpo.report.export import export_trial
from hpo.report.study_report import study_report
from hpo.spec.load import experiment_from_document
from hpo.study.storage.tables import Storage
from hpo.trial import Run
from tests.study.whole import DOCUMENT, Studies, an_experiment

RATE = {"optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True}}


def test_a_rung_is_a_training_of_its_own_on_a_share_and_the_last_one_on_all_rows(
    studies: Studies, tmp_path: Path
) -> None:
    experiment = an_experiment("search.scheduler.budget=share", "search.trials=4", space=RATE)
    outcome = studies.run(experiment, cache=tmp_path / "fresh")
    state, best = studies.state(experiment), outcome.progress.best
    assert best is not None
    assert (best.epochs, best.is_full) == (4, True)
    # Four trials on a quarter, two on a half, one on all.
    assert outcome.progress.epochs == outcome.progress.epochs_total == 4 * 1 + 2 * 2 + 4
    assert outcome.progress.programs == 1
    assert {run.budget for runs in state.replicas.values() for run in runs} == {1, 2, 4}

    def trained(share: float, name: str) -> list[object]:
        document = {
            **{part: DOCUMENT[part] for part in ("name", "data", "model")},
            "optimizer": DOCUMENT["optimizer"] | {"learning_rate": rate},
            "sampling": {"share": share},
            "train": {"epochs": 4, "stream": best.number},
        }
        alone = experiment_from_document(document, tmp_path, name)
        return [report.metrics for report in studies.train(alone, tmp_path / name).curve]

    rate = best.hparams["optimizer.learning_rate"]
    known = state.replicas[best.number]
    assert known[Run(best.number, budget=1)] == trained(0.25, "quarter")
    assert known[Run(best.number, budget=4)] == trained(1.0, "all")
    assert state.metrics[best.number] == [
        known[Run(best.number, budget=1)][3],
        known[Run(best.number, budget=2)][3],
        *known[Run(best.number, budget=4)][2:],
    ]
    with Storage.read(studies.url) as storage:
        report = study_report(storage, experiment.name, 3)
        exported = export_trial(storage, experiment.name, None, None, date(2026, 1, 1))
    assert (report.overview.epochs, report.top[0].deviation) == (12, None)
    document = yaml.safe_load(exported.text)
    assert "sampling" not in document
    winner = experiment_from_document(document, tmp_path, "best")
    curve = [report.metrics for report in studies.train(winner, tmp_path / "model").curve]
    assert curve == known[Run(best.number, budget=4)]


def test_check_counts_what_each_share_costs() -> None:
    shares = an_experiment("search.scheduler={name: hyperband, eta: 2, budget: share}")
    assert "hyperband, by shares of the rows" in render(check_summary(shares))
    assert "trials to share of the rows: 4 to 1/4, 2 to 1/2, 1 to 1" in render(
        check_summary(shares)
    )
    assert "epochs     26 of all rows" in render(check_summary(shares))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["sampling.share=0.5"],
            "is one share for all rungs, and search.scheduler.budget compares trials on shares of "
            "the rows: write budget: epochs, or remove sampling.share",
        ),
        (
            ["train.keep=best"],
            "best may judge a trial by an earlier epoch, and search.sch",
        ),
        (["train.early_stop={patience: 2}"], "may judge a trial by an earlier epoch"),
        (["privacy={noise: 1.0}"], "counts one training, and search.scheduler.budget compares"),
        (["search.scheduler.budget=rows"], "search.scheduler.budget=rows"),
    ],
)
def test_what_does_not_go_with_shares_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        an_experiment("search.scheduler.budget=share", *overrides)
    assert message in str(refused.value)


def test_a_first_share_that_fills_no_batch_is_refused(studies: Studies) -> None:
    experiment = an_experiment("search.scheduler.budget=share", "data.batch_size=32")
    with pytest.raises(HpoError, match=r"0\.25 of .* raise search.scheduler.min_epochs, or write"):
        studies.run(experiment)
