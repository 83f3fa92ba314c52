"""Training one configuration again: its curve is that of its trial."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from hpo.data.load import load_data
from hpo.data.source import Source
from hpo.data.transforms.transform import FittedTransform
from hpo.engine.programs.executables import compile_to_keep
from hpo.errors import HpoError
from hpo.report.export import export_trial
from hpo.spec.fill import fill
from hpo.spec.load import load_document
from hpo.spec.marks import with_leaves
from hpo.study.log.ranking import winner
from hpo.study.storage.tables import Storage
from hpo.trained.weights import read_weights
from hpo.trial import Run
from tests.study.whole import Studies, an_experiment

SCHEDULES = {
    "optimizer.weight_decay": {"name": "linear", "to": 0.1},
    "optimizer.learning_rate": {"name": "plateau", "patience": 1, "factor": 0.5},
}


@pytest.mark.long
@pytest.mark.parametrize(
    ("parts", "overrides"),
    [
        ({}, ()),
        ({"model": {"name": "mlp", "widths": [8], "norm": "batch"}}, ()),
        ({"model": {"name": "cnn", "filters": [4], "dense": 8}}, ("data.dataset=digits",)),
        (
            {"data": {"dataset": "diabetes", "batch_size": 32}},
            ("search.objective.minimize=rmse",),
        ),
        ({"train": {"epochs": 4, "precision": "bfloat16"}}, ()),
        ({"train": {"epochs": 4, "schedules": SCHEDULES}}, ()),
        ({"train": {"epochs": 4, "seeds": 3}}, ()),
        ({"train": {"epochs": 4, "judged_by": "worst"}}, ("data.folds=3",)),
    ],
    ids=["mlp", "batch norm", "cnn", "regression", "bfloat16", "schedules", "seeds", "folds"],
)
def test_training_the_winner_again_reproduces_its_curve(
    studies: Studies, tmp_path: Path, parts: dict[str, Any], overrides: tuple[str, ...]
) -> None:
    experiment = an_experiment(*overrides, **parts)
    outcome = studies.run(experiment)
    best = outcome.progress.best
    assert best is not None
    chosen = replace(experiment, training=fill(experiment.training, best.hparams, best.number))
    trained = studies.train(chosen, tmp_path / "model")
    stored = studies.state(experiment).metrics[best.number]
    assert [report.metrics for report in trained.curve] == stored


def test_training_the_winner_again_takes_its_program_from_the_cache(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies.around = replace(studies.around, cache=tmp_path / "programs")
    experiment, compiled = an_experiment(), list[Any]()

    def compile_(lowered: Any) -> Any:
        compiled.append(lowered)
        return compile_to_keep(lowered)

    monkeypatch.setattr("hpo.engine.programs.compiler.compile_to_keep", compile_)
    best = studies.run(experiment).progress.best
    assert best is not None
    assert compiled
    compiled.clear()
    chosen = replace(experiment, training=fill(experiment.training, best.hparams, best.number))
    trained = studies.train(chosen, tmp_path / "model")
    assert compiled == []
    assert [report.metrics for report in trained.curve] == studies.curves(experiment)[best.number]


@pytest.mark.long
@pytest.mark.parametrize(
    "runs", [(), ("train.seeds=2",), ("data.folds=2",)], ids=["one", "seeds", "folds"]
)
def test_a_winner_that_stopped_is_exported_and_trains_again_to_the_bits_of_its_best_epoch(
    studies: Studies, tmp_path: Path, runs: tuple[str, ...]
) -> None:
    rule = {"epochs": 12, "keep": "best", "early_stop": {"patience": 2}}
    experiment = an_experiment("search.scheduler.name=none", "search.trials=2", *runs, train=rule)
    outcome = studies.run(experiment)
    state, best = studies.state(experiment), outcome.progress.best
    assert best is not None
    assert best == winner(state.trials)
    assert best.trained < 12 == best.epochs
    curve = [report["accuracy"] for report in state.metrics[best.number]]
    kept = 1 + int(np.argmax(curve))
    assert -best.losses[-1] == max(curve)
    with Storage.read(studies.url) as storage:
        exported = export_trial(storage, experiment.name, None, None, date(2026, 11, 27))
    train = exported.document["train"]
    assert (train["epochs"], train["until"]) == (12, kept)
    assert (train["keep"], "early_stop" in train) == ("last", False)
    again = studies.train(load_document(exported.document, Path.cwd()), tmp_path / "exported")
    by_rule = fill(experiment.training, best.hparams, best.number)
    ruled = studies.train(replace(experiment, training=by_rule), tmp_path / "ruled")
    stored = state.metrics[best.number][:kept]
    for trained in (again, ruled):
        assert [report.metrics for report in trained.curve] == stored
    if not runs:
        exported_weights, ruled_weights = (
            read_weights(tmp_path / name, name).sha256 for name in ("exported", "ruled")
        )
        assert exported_weights == ruled_weights


def test_each_seed_of_a_trial_is_the_training_of_that_seed(
    studies: Studies, tmp_path: Path
) -> None:
    experiment = an_experiment("train.seeds=2", "search.trials=2")
    best = studies.run(experiment).progress.best
    assert best is not None
    by_run = studies.state(experiment).replicas[best.number]
    training = fill(experiment.training, best.hparams, best.number)
    for seed in (0, 1):
        alone = with_leaves(training, {"train.seed": seed, "train.seeds": 1})
        trained = studies.train(replace(experiment, training=alone), tmp_path / str(seed))
        assert [report.metrics for report in trained.curve] == by_run[Run(best.number, seed)]
    together = studies.train(replace(experiment, training=training), tmp_path / "both")
    assert {seed.name for seed in (tmp_path / "both" / "weights").iterdir()} == {"seed-0", "seed-1"}
    assert [*together.by_run] == [0, 1]
    # One fit made the features of both: the mean and the deviation of the training rows.
    assert [file.name for file in (tmp_path / "both" / "transforms").iterdir()] == ["all.npz"]
    with np.load(tmp_path / "both" / "transforms" / "all.npz") as fit:
        kept = FittedTransform.from_arrays(dict(fit))
    rows = Source(x=load_iris().data, y=load_iris().target, target="kind")
    data = load_data(training.data, tmp_path, None)
    splits = [split for split in (data.train, data.validation, data.test) if split is not None]
    every = np.concatenate([split.x for split in splits])
    np.testing.assert_array_equal(np.unique(kept.apply(rows), axis=0), np.unique(every, axis=0))
    assert best.losses[-1] == -together.curve[-1].metrics["accuracy"]


def test_a_training_with_a_batch_larger_than_its_split_is_refused(
    studies: Studies, tmp_path: Path
) -> None:
    with pytest.raises(HpoError, match=r"5000 is larger than the 90 training rows"):
        studies.train(an_experiment("data.batch_size=5000"), tmp_path / "model")


@pytest.mark.long
def test_a_training_imports_no_database():
    code = "import hpo.study.train, sys; print('sqlalchemy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
