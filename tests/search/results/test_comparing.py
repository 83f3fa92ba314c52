"""Losses of trials that have trained for different budgets."""

from hpo.search.results.comparing import comparable_losses, compared
from hpo.trial import Trial
from tests.search.samples import COMPLETE, DIVERGED, INFEASIBLE, PAUSED, PRUNED, RUNNING, ran


def test_losses_are_compared_at_the_longest_budget():
    # The trial that went on gained 4 from its first epoch, so the others are expected to as well.
    seen = [
        Trial(0, {}, COMPLETE, (5.0, 3.0, 1.0)),
        Trial(1, {}, PRUNED, (6.0,)),
        Trial(2, {}, PAUSED, (9.0, 2.0)),
        Trial(3, {}, RUNNING),
        Trial(4, {}, DIVERGED, (1.0,)),
    ]
    assert comparable_losses(seen) == {0: 1.0, 1: 2.0, 2: 0.0, 4: 2.0}


def test_an_absurd_loss_counts_as_no_more_than_bad():
    seen = [Trial(n, {}, COMPLETE, (float(n),)) for n in range(9)]
    seen.append(Trial(9, {}, COMPLETE, (1e9,)))
    # Quartiles of 0, ..., 8, 1e9 by linear interpolation: 2.25 and 6.75.
    assert comparable_losses(seen)[9] == 6.75 + 1.5 * 4.5
    assert comparable_losses(seen)[8] == 8.0


def test_losses_that_break_the_constraints_are_worse_the_more_they_do():
    losses = comparable_losses(
        [
            ran(0, {}, 1.0),
            ran(1, {}, 3.0),
            ran(2, {}, 0.0, violation=4.0),
            ran(3, {}, 9.0, violation=1.0),
            Trial(4, {}, DIVERGED),
        ]
    )
    # Beyond the worst that keeps them, 3, by up to as much as those differ, 2.
    assert losses == {0: 1.0, 1: 3.0, 2: 5.0, 3: 3.5, 4: 5.0}


def test_infeasible_trials_are_worse_than_all_that_trained():
    trials = [
        Trial(0, {}, INFEASIBLE, violation=2.0),
        ran(1, {}, 1.0, 7.0),
        ran(2, {}, 3.0, 5.0),
        Trial(3, {}, INFEASIBLE, violation=1.0),
        Trial(4, {}, DIVERGED),
    ]
    assert comparable_losses(trials) == {0: 5.0, 1: 1.0, 2: 3.0, 3: 4.0, 4: 3.0}
    assert compared(trials, 1) == {0: (3.0,), 1: (1.0,), 2: (3.0,), 3: (3.0,)}
    assert compared(trials, 2) == {0: (3.0, 7.0), 1: (1.0, 7.0), 2: (3.0, 5.0), 3: (3.0, 7.0)}
    assert compared(trials[:1], 2) == {0: (0.0, 0.0)}


def test_running_and_diverged_trials_are_not_ranked():
    trials = [
        Trial(0, {}, COMPLETE, (5.0, 3.0), (3.0, 7.0)),
        Trial(1, {}, PAUSED, (4.0,)),
        Trial(2, {}, RUNNING, (1.0,)),
        Trial(3, {}, DIVERGED, (1.0,)),
    ]
    assert compared(trials, 1) == {0: (3.0,), 1: (2.0,)}
    assert compared(trials, 2) == {0: (3.0, 7.0)}
