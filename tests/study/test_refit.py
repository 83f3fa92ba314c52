"""How long a model on all rows trains, and what it has seen."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hpo.data.load import load_data
from hpo.engine.pools.occupant import EpochReport
from hpo.errors import HpoError
from hpo.study.refit import best_epochs
from hpo.trial import Run
from tests.study.whole import Studies, an_experiment


def curve(*losses: float) -> list[EpochReport]:
    return [EpochReport(Run(0), epoch, {"loss": loss}) for epoch, loss in enumerate(losses, 1)]


def test_it_trains_for_the_mean_of_the_best_epochs() -> None:
    assert best_epochs([curve(3, 2, 1, 2), curve(1, 2, 3, 4)]) == 2
    assert best_epochs([curve(3, math.nan), curve(math.nan, math.nan), curve(3, 2)]) == 2


def test_a_refit_is_one_model_that_trained_on_the_rows_of_all_folds(
    studies: Studies, tmp_path: Path
) -> None:
    experiment = an_experiment("data.folds=3", "train.epochs=2")
    one = studies.train(experiment, tmp_path / "one", is_refit=True)
    assert one.refit_epochs in (1, 2)
    assert [*one.by_run] == ["fold-0", "fold-1", "fold-2"]
    assert one.metrics["test"] is not None
    assert [path.name for path in (tmp_path / "one" / "transforms").iterdir()] == ["all.npz"]
    with np.load(tmp_path / "one" / "transforms" / "all.npz") as fit:
        offset = fit["offset"]
    folds = load_data(experiment.training.data, tmp_path, None).folds
    # Each of the 120 rows trains in two of three folds of equal size.
    mean = np.mean([fold.transform.offset for fold in folds], axis=0)
    np.testing.assert_allclose(offset, mean, rtol=1e-12)


def test_a_refit_without_folds_is_refused(studies: Studies, tmp_path: Path) -> None:
    with pytest.raises(HpoError, match=r"--refit: the spec has no data\.folds"):
        studies.train(an_experiment(), tmp_path / "one", is_refit=True)
