from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.search.results.standings import standings
from hpo.search.samplers.curve_gp import CurveProcessSearch
from hpo.search.samplers.gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    Observations,
    fit_hyperparameters,
    log_expected_improvement,
)
from hpo.search.samplers.random import RandomSearch
from hpo.search.samplers.unit_points import UnitPoints
from hpo.space import Choice, Condition, Dimension, Float, Int, SearchSpace
from hpo.trial import Trial, TrialState

PRUNED, COMPLETE, DIVERGED = TrialState.PRUNED, TrialState.COMPLETE, TrialState.DIVERGED
INFEASIBLE = TrialState.INFEASIBLE
SPACE = SearchSpace(
    (
        Dimension("rate", Float(1e-5, 1e-1, log=True)),
        Dimension("width", Int(8, 512, log=True)),
        Dimension("depth", Int(1, 8, step=2)),
        Dimension("kind", Choice(("a", ["b"], "c"))),
        Dimension("momentum", Float(0.5, 1.0), Condition("kind", ("a", "c"))),
    )
)


@pytest.mark.parametrize(
    ("rows", "order"),
    [
        # By loss, where all have come as far.
        ([(3.0,), (1.0,), (2.0,)], [1, 2, 0]),
        # The best at the first epoch went on and came out worse than 1, which stopped: it keeps
        # its place, for it is not known what 1 would have come to.
        ([(1.0, 9.0), (2.0,), (3.0,)], [0, 1, 2]),
        # Those that went on change places among themselves.
        ([(1.0, 8.0), (2.0, 7.0), (3.0,)], [1, 0, 2]),
        # One that went on in a bad bracket does not pass those that stopped before it.
        ([(1.0,), (2.0,), (3.0, 0.1)], [0, 1, 2]),
    ],
)
def test_trials_are_ranked_at_the_epochs_they_have_in_common(rows, order):
    places = standings([Trial(n, {}, PRUNED, losses) for n, losses in enumerate(rows)])
    assert sorted(places, key=places.__getitem__) == order


def test_equal_losses_share_a_place_and_diverged_trials_are_last():
    trials = [Trial(n, {}, PRUNED, (loss,)) for n, loss in enumerate([1.0, 2.0, 2.0])]
    trials.append(Trial(3, {}, DIVERGED))
    assert standings(trials) == {0: 0.125, 1: 0.5, 2: 0.5, 3: 0.875}
    assert standings(trials[3:]) == {}
    assert standings([]) == {}


def test_what_breaks_the_constraints_stands_behind_all_that_keeps_them():
    rows = [(1.0, 5.0), (9.0, 0.0), (0.5, 2.0), (3.0, 0.0)]
    places = standings([Trial(n, {}, PRUNED, (loss,), (), by) for n, (loss, by) in enumerate(rows)])
    assert sorted(places, key=places.__getitem__) == [3, 1, 2, 0]


def test_infeasible_trials_stand_last_by_how_much_they_break_the_constraints():
    trials = [
        Trial(0, {}, INFEASIBLE, violation=2.0),
        Trial(1, {}, DIVERGED),
        Trial(2, {}, PRUNED, (9.0,), violation=5.0),
        Trial(3, {}, INFEASIBLE, violation=1.0),
    ]
    assert standings(trials) == {2: 0.125, 1: 0.375, 3: 0.625, 0: 0.875}
    assert standings([Trial(0, {}, INFEASIBLE, violation=2.0)]) == {0: 0.5}


def test_a_process_goes_through_what_it_was_told_without_noise():
    x = np.array([[0.0], [0.4], [1.0]])
    values = np.array([1.0, -1.0, 0.0])
    seen = Observations(x, np.array([0]), values, np.zeros(3))
    process = GaussianProcess(seen, Hyperparameters(np.array([0.3]), np.array([1e-9, 1e-9])))
    mean, deviation = process.predict(np.array([[0.4], [0.7]]))
    assert mean[0] == pytest.approx(-1.0, abs=1e-4)
    assert deviation[0] < 0.01 < 0.3 < deviation[1]


def test_the_length_scale_of_a_column_that_does_not_matter_is_long():
    rng = np.random.default_rng(0)
    x = rng.random((40, 2))
    values = np.sin(6 * x[:, 0])
    values = (values - values.mean()) / values.std()
    hyper = fit_hyperparameters(Observations(x, np.array([0, 1]), values, np.zeros(40)))
    assert hyper.scales[1] > 5 * hyper.scales[0]
    assert hyper.noise[0] < 0.02


def test_expected_improvement_agrees_with_its_integral_and_tells_far_points_apart():
    draws = np.random.default_rng(0).normal(0.5, 2.0, 400_000)
    gain = log_expected_improvement(np.array([0.5]), np.array([2.0]), 0.0)
    assert np.exp(gain[0]) == pytest.approx(np.maximum(-draws, 0).mean(), rel=0.01)
    far = log_expected_improvement(np.array([40.0, 50.0]), np.array([1.0, 1.0]), 0.0)
    assert far[0] > far[1] > -np.inf


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_trials_are_points_and_points_are_trials(seed):
    points, rng = UnitPoints(SPACE), np.random.default_rng(seed)
    drawn = points.drawn(3, rng)
    for some in (drawn, points.moved(drawn, np.full(3, 0.2), 0.5, rng)):
        trials = [points.hparams(point, {}) for point in some]
        again = points.of_trials(trials)
        assert [points.hparams(point, {}) for point in again] == trials
        # Whole numbers on a logarithmic scale have a stretch of it each; the others have a point.
        np.testing.assert_allclose(np.delete(again, 1, 1), np.delete(some, 1, 1), atol=1e-9)
    assert points.columns(drawn).shape == (3, len(points.groups)) == (3, 7)


def study(space, loss, epochs, proposals=30, **fields):
    """The trials of a search that trains each in full."""
    search, trials = CurveProcessSearch(space, 0, epochs, startup_trials=5, **fields), []
    for number in range(proposals):
        (hparams,) = search.ask(trials, 1)
        trials.append(Trial(number, hparams, COMPLETE, tuple([loss(hparams)] * epochs)))
    return trials


def test_it_comes_nearer_to_the_optimum_than_random_draws():
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
