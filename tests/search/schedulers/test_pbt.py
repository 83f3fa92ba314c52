"""Population based training: selection, against tables worked by hand."""

import math
from dataclasses import replace

import pytest

from hpo.search.scheduler import Replacement
from hpo.search.schedulers.pbt import cut
from hpo.spec.sections.scheduler import Pbt
from hpo.trial import Job, TrialState
from tests.search.schedulers.population import DIVERGED, at_two, member, scheduler


def test_the_worst_fifth_goes_on_from_the_best_fifth():
    # Ranks by hand: 3 (0.1), 8 (0.2), ..., 0 (0.9), 5 (1.0): the best two, and the worst two.
    trials = at_two(0.9, 0.5, 0.4, 0.1, 0.6, 1.0, 0.3, 0.7, 0.2, 0.8)
    assert scheduler().replacements(trials) == (
        Replacement(0, 2, (3, 8)),
        Replacement(5, 2, (3, 8)),
    )


def test_ties_are_broken_by_the_number():
    assert scheduler().replacements(at_two(*[1] * 10)) == (
        Replacement(8, 2, (0, 1)),
        Replacement(9, 2, (0, 1)),
    )


def test_members_that_break_a_constraint_by_their_shape_take_no_part():
    # Eight trained, so that one of them goes on from the best one.
    trials = at_two(0.9, 0.5, 0.4, 0.1, 0.6, 1.0, 0.3, 0.7, 0.2, 0.8)
    for number in (3, 7):
        trials[number] = replace(
            trials[number], state=TrialState.INFEASIBLE, losses=(), violation=1.0
        )
    assert scheduler().replacements(trials) == (Replacement(5, 2, (8,)),)
    alone = [trials[0], *(replace(trials[3], number=n) for n in range(1, 10))]
    assert scheduler().replacements(alone) == ()
    assert scheduler().runnable(alone, 0) == (Job(0, 4),)


@pytest.mark.parametrize(
    ("members", "quantile", "count"),
    [
        (1, 0.2, 0),
        (2, 0.2, 1),
        (4, 0.2, 1),
        (10, 0.2, 2),
        (80, 0.2, 16),
        (3, 0.5, 1),
        (100, 0.29, 29),
    ],
)
def test_the_cut_is_a_whole_number_of_members(members, quantile, count):
    assert cut(members, quantile) == count


def test_members_wait_for_the_last_one():
    trials = at_two(*range(10))
    trials[4] = member(4, 9)
    assert scheduler().replacements(trials) == ()
    assert scheduler().runnable(trials, 5) == (Job(4, 2),)


def test_members_wait_for_those_that_have_not_begun():
    trials = at_two(*range(8))
    assert scheduler().replacements(trials) == ()
    assert scheduler().runnable(trials, 5) == (Job(8, 2), Job(9, 2))


def test_no_member_trains_on_before_all_replacements_are_done():
    trials = at_two(*range(10))
    assert scheduler().runnable(trials, 0) == ()
    trials[8] = replace(trials[8], exploited=2)
    assert scheduler().runnable(trials, 0) == ()
    trials[9] = replace(trials[9], exploited=2)
    assert scheduler().runnable(trials, 0) == tuple(Job(n, 4) for n in range(10))


def test_members_that_are_behind_catch_up():
    trials = [member(n, 9, n, 1) if n < 5 else member(n, 9, n) for n in range(10)]
    jobs = scheduler().runnable(trials, 0)
    assert jobs == tuple(Job(n, 4) for n in range(10))


def test_a_diverged_member_ranks_last_and_is_replaced_by_one_of_the_best():
    trials = at_two(*range(10))
    trials[1] = member(1, 9, state=DIVERGED)
    found = scheduler().replacements(trials)
    assert found == (Replacement(9, 2, (0, 2)), Replacement(1, 2, (0, 2)))


def test_all_diverged_members_are_replaced_however_many():
    trials = [member(n, 9, n) if n < 2 else member(n, state=DIVERGED) for n in range(10)]
    found = scheduler().replacements(trials)
    assert [one.trial for one in found] == list(range(2, 10))
    assert {one.best for one in found} == {(0, 1)}


def test_a_replaced_member_is_ranked_as_before():
    before = at_two(*range(10))
    before[1] = member(1, 9, state=DIVERGED)
    after = [*before]
    after[1] = member(1, 9, math.inf, exploited=2)
    assert scheduler().replacements(after) == scheduler().replacements(before)


def test_a_member_that_diverges_after_the_last_comparison_stays_so():
    trials = [member(n, 9, n, 1, 1, 1, 1, state=TrialState.COMPLETE) for n in range(10)]
    trials[1] = member(1, 9, 1, 1, 1, state=DIVERGED)
    assert scheduler().replacements(trials) == ()
    assert scheduler().runnable(trials, 5) == ()


def test_there_is_no_comparison_after_the_last_epoch():
    trials = [member(n, 9, n, 1, 1) for n in range(10)]
    assert scheduler(epochs=4).replacements(trials) == ()


def test_populations_are_compared_among_themselves():
    spec = Pbt(name="pbt", population=4, interval=2)
    trials = at_two(4, 3, 2, 1, 8, 7, 6, 5, 1)
    found = scheduler(total=9, spec=spec).replacements(trials)
    assert found == (Replacement(0, 2, (3,)), Replacement(4, 2, (7,)))


def test_trials_that_a_study_is_given_later_join_once_they_have_caught_up():
    trials = [member(n, 9, n, 9, n) for n in range(8)] + [member(8, 9, 8), member(9)]
    assert scheduler().runnable(trials, 0) == (Job(9, 2),)
    trials[9] = member(9, 9, 9)
    # No member that they could copy is at that epoch any more.
    assert scheduler().replacements(trials) == ()
    assert scheduler().runnable(trials, 0) == (Job(8, 4), Job(9, 4))
    trials[8:] = [member(8, 9, 8, 9, 8), member(9, 9, 9, 9, 9)]
    assert [one.trial for one in scheduler().replacements(trials)] == [8, 9]


def test_members_are_not_compared_again_after_others_have_ended():
    done = [member(n, 9, n, 9, state=TrialState.COMPLETE) for n in range(5)]
    trials = [*done, *(member(n, 9, n, exploited=2 * (n >= 8)) for n in range(5, 10))]
    assert scheduler(epochs=3).replacements(trials) == ()
    assert len(scheduler(epochs=3).runnable(trials, 0)) == 5
