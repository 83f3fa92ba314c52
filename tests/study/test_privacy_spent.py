"""What the trials of a study have spent together."""

from __future__ import annotations

import pytest

from hpo.engine.training.techniques.accounting import epsilon, step_divergences
from hpo.spec.experiment import Experiment
from hpo.spec.load import experiment_from_document
from hpo.study.privacy_spent import Spent, spent
from hpo.trial import Trial


def _experiment(tmp_path, privacy, seeds=1) -> Experiment:
    document = {
        "name": "private",
        "data": {"dataset": "iris", "batch_size": 10},
        "model": {"name": "mlp"},
        "optimizer": {"name": "sgd"},
        "privacy": privacy,
        "train": {"epochs": 5, "seeds": seeds},
        "space": {"privacy.noise": {"float": [0.5, 4.0]}},
    }
    return experiment_from_document(document, tmp_path)


def test_the_divergences_of_all_trials_add_up(tmp_path) -> None:
    trials = (
        Trial(0, {"privacy.noise": 1.0}, losses=(0.5,) * 5),
        Trial(1, {"privacy.noise": 2.0}, losses=(0.5, 0.4)),
        Trial(2, {"privacy.noise": 0.5}),  # has not trained
    )
    found = spent(_experiment(tmp_path, {"clip": 1.0, "noise": 1.0}, seeds=3), trials, 105)

    steps = (5 * 10 * 3, 2 * 10 * 3)  # 10 whole batches an epoch, on 3 seeds
    total = sum(
        n * step_divergences(10 / 105, noise) for n, noise in zip(steps, (1.0, 2.0), strict=True)
    )
    expected = epsilon(total, 1e-5)
    assert found is not None
    assert found.epsilon == pytest.approx(expected)
    assert str(found) == f"epsilon {expected:.4g} at delta 1e-05, by 2 trials together"


def test_a_study_without_privacy_spends_nothing_that_is_counted(tmp_path) -> None:
    experiment = _experiment(tmp_path, {"clip": 1.0, "noise": 1.0})
    assert spent(experiment, (), 105) is None
    assert spent(experiment, (Trial(0, {"privacy.noise": 1.0}, losses=(0.5,)),), 0) is None
    assert "not bounded" in str(Spent(None, 1e-5, 2))
