"""Bayesian optimisation over hparams and epochs."""

from dataclasses import replace

import numpy as np

from hpo.search.samplers.curve_gp import CurveProcessSearch
from hpo.search.samplers.random import RandomSearch
from hpo.trial import Trial
from tests.search.samples import COMPLETE, PRUNED, SPACE


def study(space, loss, epochs, proposals=30, **fields):
    """The trials of a search that trains each in full."""
    search, trials = CurveProcessSearch(space, 0, epochs, startup_trials=5, **fields), []
    for number in range(proposals):
        (hparams,) = search.ask(trials, 1)
        trials.append(Trial(number, hparams, COMPLETE, tuple([loss(hparams)] * epochs)))
    return trials


def test_curve_gp_finds_better_trials_than_random_search():
    def loss(hparams):
        far = abs(np.log10(hparams["rate"]) + 3) + abs(np.log(hparams["width"] / 64))
        return far + (hparams["kind"] != "c") + abs(hparams["depth"] - 5) / 4

    found = min(trial.losses[-1] for trial in study(SPACE, loss, epochs=1))
    drawn = min(loss(RandomSearch(SPACE, 0).draw(number)) for number in range(30))
    assert found < drawn / 2


def test_every_fifth_trial_is_a_random_draw():
    trials = study(SPACE, lambda hparams: abs(np.log10(hparams["rate"]) + 3), epochs=1)
    drawn = [t.number for t in trials if t.hparams == RandomSearch(SPACE, 0).draw(t.number)]
    assert [number for number in drawn if number >= 5] == [9, 14, 19, 24, 29]


def test_the_scale_of_the_losses_changes_nothing():
    trials = [
        Trial(n, RandomSearch(SPACE, 1).draw(n), PRUNED, tuple([n * 7 % 11 + 0.1] * (n % 3 + 1)))
        for n in range(12)
    ]
    squared = [replace(t, losses=tuple(loss**9 for loss in t.losses)) for t in trials]
    one, other = (CurveProcessSearch(SPACE, 0, 3, 5).ask(ts, 2) for ts in (trials, squared))
    assert one == other


def test_losses_that_are_all_the_same_do_no_harm():
    trials = [Trial(n, RandomSearch(SPACE, 1).draw(n), COMPLETE, (1.0,)) for n in range(8)]
    assert len(CurveProcessSearch(SPACE, 0, 1, 5).ask(trials, 3)) == 3
