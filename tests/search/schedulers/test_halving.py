"""Synchronous successive halving."""

from hpo.search.schedulers.make import make_scheduler
from hpo.spec.sections.scheduler import (
    SuccessiveHalving,
)
from hpo.trial import Job
from tests.search.schedulers.studies import (
    COMPLETE,
    DIVERGED,
    HALVING,
    PAUSED,
    RUNNING,
    simulate,
    trials,
)


def test_halving_waits_for_the_whole_rung():
    found = trials([PAUSED, 1], [PAUSED, 2], [RUNNING])
    scheduler = make_scheduler(HALVING, 3, 6)
    assert scheduler.runnable(found, 2) == (Job(2, 1), Job(3, 1), Job(4, 1))
    assert scheduler.eliminated(found) == frozenset()


def test_halving_promotes_the_best_before_all_else():
    found = trials([PAUSED, 3], [PAUSED, 1], [PAUSED, 2], [RUNNING])
    scheduler = make_scheduler(HALVING, 3, 6)
    assert scheduler.runnable(found, 1) == (Job(1, 3), Job(3, 1), Job(4, 1))


def test_halving_ends_the_rest_once_their_bracket_has_a_winner():
    scheduler = make_scheduler(HALVING, 3, 3)
    rest = ([PAUSED, 3], [PAUSED, 2])
    assert scheduler.eliminated(trials([RUNNING, 1, 1], *rest)) == frozenset()
    assert scheduler.eliminated(trials([COMPLETE, 1, 1, 1], *rest)) == {1, 2}


def test_the_next_best_takes_the_place_of_a_diverged_trial():
    # Nine trials, three places at 3 epochs: 0 diverged on the way there, so that 3 goes on.
    waiting = ([PAUSED, loss] for loss in range(3, 9))
    found = trials([DIVERGED, 0, 0], [PAUSED, 1, 1, 1], [RUNNING, 2], *waiting)
    assert make_scheduler(HALVING, 9, 9).runnable(found, 0) == (Job(2, 3), Job(3, 3))


def test_where_all_promoted_trials_diverge_the_best_waiting_trial_goes_on():
    # Both that reached 3 epochs but one have diverged, and the one place beyond is free again.
    rung_of_one = trials([DIVERGED, 0, 0, 0], [PAUSED, 1, 1, 1], [DIVERGED, 2, 2, 2], [PAUSED, 3])
    scheduler = make_scheduler(HALVING, 9, 4)
    assert scheduler.runnable(rung_of_one, 0) == (Job(1, 9),)
    lower = trials([DIVERGED, 0, 0, 0], [PAUSED, 2], [PAUSED, 1], [RUNNING, 0.5, 0.5])
    assert scheduler.runnable(lower, 0) == (Job(3, 3),)
    alone = trials([DIVERGED, 0, 0, 0], [PAUSED, 2], [PAUSED, 1], [DIVERGED, 3, 3])
    assert scheduler.runnable(alone, 0) == (Job(2, 3),)
    assert scheduler.eliminated(alone) == frozenset()


def test_halving_breaks_ties_by_the_number():
    found = trials([PAUSED, 1], [PAUSED, 1], [PAUSED, 1])
    assert make_scheduler(HALVING, 3, 3).runnable(found, 1) == (Job(0, 3),)


def test_a_diverged_trial_takes_its_place_at_the_rung_and_never_goes_on():
    found = trials([DIVERGED], [PAUSED, 5], [DIVERGED])
    scheduler = make_scheduler(HALVING, 3, 3)
    assert scheduler.runnable(found, 1) == (Job(1, 3),)
    all_diverged = trials([DIVERGED], [DIVERGED], [DIVERGED])
    assert scheduler.runnable(all_diverged, 1) == ()


def test_promotions_to_the_highest_rung_come_first():
    nine = [[PAUSED, n] for n in range(9)]
    found = trials([PAUSED, 0, 0, 0], [PAUSED, 1, 1, 1], [PAUSED, 2, 2, 2], *nine[3:], *nine)
    jobs = make_scheduler(HALVING, 9, 18).runnable(found, 0)
    assert jobs == (Job(0, 9), Job(9, 3), Job(10, 3), Job(11, 3))


def test_halving_trains_the_arms_of_jamieson_and_talwalkar():
    # Figure 3 with eta = 2: 8 arms, then 4, 2 and 1, by loss.
    spec = SuccessiveHalving(name="successive_halving", eta=2)
    found = simulate(spec, 8, 8, 0)
    best = sorted(range(8), key=lambda n: (n * 7 % 5 + n * 13 % 11 / 2, n))[:4]
    assert {trial.number for trial in found if trial.epochs >= 2} == {*best}
    assert sorted(trial.epochs for trial in found) == [1, 1, 1, 1, 2, 2, 4, 8]
