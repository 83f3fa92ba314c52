"""The runs of one training, stopped and gone on with."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hpo.engine.pools.occupant import EpochReport
from hpo.study.signals import StoppedError, StopRequest
from hpo.study.train import train_to_folder
from tests.study.whole import Studies, an_experiment


def test_a_run_that_has_diverged_trains_no_further_when_its_training_goes_on(
    studies: Studies, tmp_path: Path
) -> None:
    experiment = an_experiment(
        "train.seeds=2",
        optimizer={"name": "sgd", "learning_rate": 1e38},
        space={"model.dropout": 0.1},
    )
    stop = StopRequest()

    def watch(_: EpochReport) -> None:
        stop.set()

    with pytest.raises(StoppedError, match="stopped after 1 epoch"):
        train_to_folder(experiment, tmp_path / "it", studies.around, watch, print, stop)
    trained = studies.train(experiment, tmp_path / "it")
    assert "Goes on at epoch 2 of 4, where the training was stopped." in studies.said
    (report,) = trained.curve
    assert math.isnan(report.metrics["loss"])
