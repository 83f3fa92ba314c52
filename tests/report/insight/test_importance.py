"""How important hparams were."""

import numpy as np
import pytest

from hpo.report.insight.importance import importance_of
from hpo.space import Choice, Condition, Dimension, Float, SearchSpace
from hpo.trial import Trial, TrialState

SPACE = SearchSpace(
    (
        Dimension("optimizer.name", Choice(("adam", "sgd"))),
        Dimension("optimizer.learning_rate", Float(1e-4, 1e-1, log=True)),
        Dimension("optimizer.momentum", Float(0, 1), Condition("optimizer.name", ("sgd",))),
        Dimension("model.widths", Choice(([32], [64, 64]))),
        Dimension("model.norm", Choice(("none",))),
    )
)


def trials(count, epochs=lambda number: 1):
    rng = np.random.default_rng(0)
    for number in range(count):
        hparams = SPACE.draw(rng)
        loss = abs(np.log(hparams["optimizer.learning_rate"] / 1e-2))
        yield Trial(number, hparams, TrialState.COMPLETE, (float(loss),) * epochs(number))


def test_the_hparam_that_decides_comes_first():
    importance = importance_of(list(trials(100)), SPACE)

    assert next(iter(importance.shares)) == "optimizer.learning_rate"
    assert importance.shares["optimizer.learning_rate"] > 0.5


def test_the_shares_of_all_hparams_that_vary_add_up_to_one():
    shares = importance_of(list(trials(100)), SPACE).shares

    assert set(shares) == {d.path for d in SPACE.dimensions} - {"model.norm"}
    assert sum(shares.values()) == pytest.approx(1)


def test_trials_are_compared_after_the_most_epochs_that_enough_have_had():
    found = list(trials(60, epochs=lambda number: 1 if number < 30 else 3 if number < 50 else 9))

    importance = importance_of(found, SPACE)

    assert (importance.trials, importance.epochs) == (30, 3)


def test_the_same_trials_give_the_same_importance():
    assert importance_of(list(trials(40)), SPACE) == importance_of(list(trials(40)), SPACE)


def test_results_that_are_all_the_same_warn_of_nothing():
    same = [Trial(t.number, t.hparams, t.state, (1.0,)) for t in trials(30)]
    assert importance_of(same, SPACE).trials == 30


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (0, "needs 20 trials with a result; 0 have one"),
        (1, "needs 20 trials with a result; 1 has one"),
        (19, "needs 20 trials with a result; 19 have one"),
    ],
)
def test_too_few_trials_are_a_reason_to_skip_it(count, reason):
    assert importance_of(list(trials(count)), SPACE).skipped == reason


def test_a_single_dimension_is_a_reason_to_skip_it():
    space = SearchSpace(SPACE.dimensions[1:2] + SPACE.dimensions[4:])
    assert importance_of(list(trials(30)), space).skipped == "only one hparam varies"
