"""Patience."""

from dataclasses import replace

import pytest

from hpo.search.schedulers.make import make_scheduler
from hpo.spec.sections.scheduler import (
    Patience,
)
from hpo.trial import Job
from tests.search.schedulers.studies import COMPLETE, PATIENCE, PAUSED, RUNNING, trials


@pytest.mark.parametrize(
    ("epochs", "patience"), [(2, 1), (3, 2), (4, 3), (39, 3), (40, 4), (51, 5), (200, 20)]
)
def test_patience_is_a_tenth_of_a_training(epochs, patience):
    scheduler = make_scheduler(Patience(name="patience"), epochs, 2)
    assert scheduler.runnable([], 1) == (Job(0, patience + 1),)
    flat = trials([RUNNING, *[1] * patience], [RUNNING, *[1] * (patience + 1)])
    assert {job.trial for job in scheduler.runnable(flat[:1], 0)} == {0}
    assert {job.trial for job in scheduler.runnable(flat, 0)} == {0}


def test_a_trial_without_progress_waits():
    found = trials([RUNNING, 5, 4, 4, 4], [RUNNING, 5, 4, 3], [RUNNING, 5, 5])
    scheduler = make_scheduler(PATIENCE, 9, 3)
    # The others are looked at after every epoch, from the third on.
    assert scheduler.runnable(found, 0) == (Job(1, 4), Job(2, 3))
    assert scheduler.eliminated(found) == frozenset()


def test_a_trial_whose_pace_does_not_reach_the_winner_is_eliminated():
    # In two epochs these gained 1, and 5 are left: 2.5 more, if they go on in a straight line.
    winner = [COMPLETE, *[1] * 9]
    far, near = [RUNNING, 6, 5.5, 5, 4.5], [RUNNING, 4.9, 4.4, 3.9, 3.4]
    scheduler = make_scheduler(PATIENCE, 9, 4)
    found = trials(winner, far, near, winner)
    assert scheduler.eliminated(found) == {1}
    assert scheduler.runnable(found, 0) == (Job(2, 5),)
    # What one trial alone came to says too little.
    assert scheduler.eliminated(trials(winner, far, near)) == frozenset()


def test_the_pace_is_that_of_the_best_losses_so_far():
    winner = [COMPLETE, *[2] * 9]
    # From 4 to 3 in two epochs, the last of which was a bad one.
    noisy = [RUNNING, 5, 4, 3, 4.5]
    assert make_scheduler(PATIENCE, 9, 3).eliminated(trials(winner, noisy, winner)) == frozenset()


def test_an_improvement_of_no_more_than_min_delta_is_none():
    spec = Patience(name="patience", epochs=2, min_delta=1.0)
    assert make_scheduler(spec, 9, 2).runnable(trials([RUNNING, 5, 4, 3.5]), 0) == (Job(0, 4),)
    assert make_scheduler(spec, 9, 2).runnable(trials([RUNNING, 5, 4, 4]), 0) == ()


def test_patience_begins_at_min_epochs():
    spec = Patience(name="patience", epochs=1, min_epochs=4)
    scheduler = make_scheduler(spec, 9, 2)
    assert scheduler.runnable(trials([RUNNING, 1, 1]), 1) == (Job(0, 4), Job(1, 4))
    assert scheduler.runnable(trials([RUNNING, 1, 1, 1, 1]), 0) == ()


def test_the_best_trial_without_progress_goes_on_if_it_may_win():
    scheduler = make_scheduler(PATIENCE, 9, 4)
    halted = ([PAUSED, 4, 4, 4], [PAUSED, 3, 3, 3])
    assert scheduler.runnable(trials(*halted, [RUNNING], [RUNNING]), 0) == (
        Job(2, 3),
        Job(3, 3),
    )
    complete = [COMPLETE, *[3.5] * 9]
    assert scheduler.runnable(trials(*halted, complete, complete), 0) == (Job(1, 9),)
    assert scheduler.eliminated(trials(*halted, complete, complete)) == {0}
    going_on = trials(halted[0], [RUNNING, 3, 3, 3, 3], complete, complete)
    assert scheduler.runnable(going_on, 0) == (Job(1, 9),)


def test_trials_wait_while_late_gains_of_another_training_suggest_more():
    # The winner gained 1.5 from the third epoch on, 0.5 from the eighth on; the other less.
    winner, other = [COMPLETE, *[5] * 7, 4, 3.5], [COMPLETE, *[5] * 9]
    early, late = [PAUSED, 4.9, 4.9, 4.9], [RUNNING, *[4.9] * 7, 4.1]
    scheduler = make_scheduler(PATIENCE, 9, 5)
    assert scheduler.eliminated(trials(winner, early, late, other)) == {2}
    assert scheduler.eliminated(trials(winner, [PAUSED, 5.1, 5.1, 5.1], other)) == {1}
    # Every trial that waits may be the best: they go on, once nothing else is to do.
    better = [PAUSED, 4.8, 4.8, 4.8]
    assert scheduler.runnable(trials(winner, early, better, early, other), 0) == (
        Job(2, 9),
        Job(1, 9),
        Job(3, 9),
    )


def test_one_in_five_waiting_trials_goes_on_beside_other_work():
    scheduler = make_scheduler(PATIENCE, 9, 9)
    four = [[PAUSED, loss, loss, loss] for loss in (4, 3, 5, 6)]
    going, five = [RUNNING, 5, 4, 3], [*four, [PAUSED, 7, 7, 7]]
    start = Job(6, 3)
    assert scheduler.runnable(trials(*four, going, going), 1) == (
        Job(4, 4),
        Job(5, 4),
        start,
    )
    assert scheduler.runnable(trials(*five, going), 1) == (Job(1, 9), Job(5, 4), start)
    # While it is on its way no other is sent.
    five[1] = [RUNNING, 3, 3, 3, 3]
    five.append([PAUSED, 2, 2, 2])
    assert scheduler.runnable(trials(*five), 0) == (Job(1, 9),)


def test_a_trial_that_ties_with_the_winner_waits_where_another_objective_may_decide():
    scheduler = make_scheduler(PATIENCE, 9, 3)
    found = trials([COMPLETE, *[2] * 9], [PAUSED, 2, 2, 2], [COMPLETE, *[3] * 9])
    assert scheduler.eliminated(found) == {1}
    found[0] = replace(found[0], values=(2.0, 100.0))
    assert scheduler.eliminated(found) == frozenset()
    assert scheduler.runnable(found, 0) == (Job(1, 9),)


def test_a_trial_that_breaks_a_constraint_waits_behind_one_that_keeps_it():
    found = trials([PAUSED, 1, 1, 1], [PAUSED, 2, 2, 2])
    found[0] = replace(found[0], violation=0.5)
    assert make_scheduler(PATIENCE, 9, 2).runnable(found, 0) == (Job(1, 9), Job(0, 9))
