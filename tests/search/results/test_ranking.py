"""Where trials stand among all."""

import pytest

from hpo.search.results.ranking import quantile_ranks
from hpo.trial import Trial, TrialState
from tests.search.samples import DIVERGED, PRUNED

INFEASIBLE = TrialState.INFEASIBLE


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
    places = quantile_ranks([Trial(n, {}, PRUNED, losses) for n, losses in enumerate(rows)])
    assert sorted(places, key=places.__getitem__) == order


def test_equal_losses_share_a_place_and_diverged_trials_are_last():
    trials = [Trial(n, {}, PRUNED, (loss,)) for n, loss in enumerate([1.0, 2.0, 2.0])]
    trials.append(Trial(3, {}, DIVERGED))
    assert quantile_ranks(trials) == {0: 0.125, 1: 0.5, 2: 0.5, 3: 0.875}
    assert quantile_ranks(trials[3:]) == {}
    assert quantile_ranks([]) == {}


def test_trials_that_break_constraints_rank_behind_all_that_keep_them():
    rows = [(1.0, 5.0), (9.0, 0.0), (0.5, 2.0), (3.0, 0.0)]
    places = quantile_ranks(
        [Trial(n, {}, PRUNED, (loss,), (), by) for n, (loss, by) in enumerate(rows)]
    )
    assert sorted(places, key=places.__getitem__) == [3, 1, 2, 0]


def test_infeasible_trials_rank_last_by_how_much_they_break_the_constraints():
    trials = [
        Trial(0, {}, INFEASIBLE, violation=2.0),
        Trial(1, {}, DIVERGED),
        Trial(2, {}, PRUNED, (9.0,), violation=5.0),
        Trial(3, {}, INFEASIBLE, violation=1.0),
    ]
    assert quantile_ranks(trials) == {2: 0.125, 1: 0.375, 3: 0.625, 0: 0.875}
    assert quantile_ranks([Trial(0, {}, INFEASIBLE, violation=2.0)]) == {0: 0.5}
