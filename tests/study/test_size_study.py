"""A search on images of several sizes: what it trains and leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.errors import HpoError
from hpo.spec.load import experiment_from_document
from tests.study.whole import DOCUMENT, Studies, an_experiment

DIGITS: dict[str, Any] = {"dataset": "digits", "rows": 400, "batch_size": 64}
RATE = {"optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True}}


def test_a_space_varies_the_size_of_images(studies: Studies, tmp_path: Path) -> None:
    overrides = ["search.scheduler={name: none}", "search.sampler={name: grid}", "train.epochs=2"]
    grid = {"data.image_size": {"choice": [4, 8]}, "optimizer.learning_rate": {"choice": [0.01]}}
    experiment = an_experiment(*overrides, "search.trials=2", space=grid, data=DIGITS)
    outcome = studies.run(experiment)
    assert (outcome.progress.programs, len(studies.state(experiment))) == (2, 2)
    state = studies.state(experiment)
    for number, curve in enumerate(studies.curves(experiment)):
        size = state.trial(number).hparams["data.image_size"]
        alone = {
            **{part: DOCUMENT[part] for part in ("name", "model")},
            "data": DIGITS if size == 8 else {**DIGITS, "image_size": size},
            "optimizer": DOCUMENT["optimizer"] | {"learning_rate": 0.01},
            "train": {"epochs": 2, "stream": number},
        }
        spec = experiment_from_document(alone, tmp_path, f"of {size}")
        trained = studies.train(spec, tmp_path / str(size))
        assert [report.metrics for report in trained.curve] == curve


def test_a_size_of_the_space_that_does_not_fit_is_refused_at_the_start(studies: Studies) -> None:
    space = {**RATE, "data.image_size": {"int": [4, 9]}}
    with pytest.raises(HpoError, match="9 is more than the 8 pixels of the images: write 8 or"):
        studies.run(an_experiment(space=space, data=DIGITS))
