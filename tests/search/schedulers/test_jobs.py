"""The order of jobs, and the winner that a study must end with."""

import pytest

from hpo.search.scheduler import Bracket
from hpo.search.schedulers.jobs import (
    Verdict,
    has_just_completed,
    in_priority,
    one_rung,
    starts,
    until_a_winner,
)
from hpo.trial import Job, Trial, TrialState


def test_until_there_is_a_winner_no_trial_is_lost():
    verdict = Verdict({3: 9}, frozenset({1, 2}))
    assert until_a_winner(verdict, {1: 9}, has_winner=False) == Verdict({3: 9}, frozenset())


def test_until_there_is_a_winner_the_next_best_trains_on_where_the_rule_lets_none():
    verdict = Verdict({}, frozenset({1, 2}))
    assert until_a_winner(verdict, {1: 9}, has_winner=False) == Verdict({1: 9}, frozenset())


def test_the_rule_decides_alone_once_there_is_a_winner():
    verdict = Verdict({}, frozenset({1, 2}))
    assert until_a_winner(verdict, {1: 9}, has_winner=True) == verdict


def test_promotions_to_the_highest_rung_come_first_and_ties_go_by_number():
    promotions = [Job(4, 3), Job(2, 9), Job(1, 3), Job(7, 9)]
    continuations = [Job(9, 3), Job(0, 3)]
    order = [job.trial for job in in_priority(promotions, continuations)]
    assert order == [2, 7, 1, 4, 0, 9]


@pytest.mark.parametrize(
    ("proposed", "window", "numbers"), [(0, 3, [0, 1, 2]), (8, 3, [8, 9]), (10, 3, []), (4, 0, [])]
)
def test_as_many_trials_start_as_the_window_and_the_total_allow(proposed, window, numbers):
    assert starts(proposed, 10, window, 27) == tuple(Job(number, 27) for number in numbers)


def test_without_comparisons_all_trials_share_a_bracket_of_one_rung():
    assert one_rung(8, 27) == (Bracket(0, (8,), (27,)),)


def test_a_trial_completes_once():
    running, complete = (Trial(0, {}, state) for state in (TrialState.RUNNING, TrialState.COMPLETE))
    assert has_just_completed(running, complete)
    assert has_just_completed(None, complete)
    assert not has_just_completed(complete, complete)
    assert not has_just_completed(None, running)
