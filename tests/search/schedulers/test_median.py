"""The median rule."""

import pytest

from hpo.search.schedulers.make import make_scheduler
from hpo.spec.sections.scheduler import (
    Median,
)
from hpo.trial import Job
from tests.search.schedulers.studies import COMPLETE, MEDIAN, RUNNING, trials


def test_the_median_rule_compares_the_best_loss_with_the_median_of_the_means():
    # Means after two epochs: 3 and 5, so their median is 4.
    completed = [[COMPLETE, 4, 2, 1, 1], [COMPLETE, 6, 4, 1, 1]]
    found = trials(*completed, [RUNNING, 5, 4.5], [RUNNING, 4.0, 9], [RUNNING, 4.5])
    scheduler = make_scheduler(MEDIAN, 4, 5)
    assert scheduler.eliminated(found) == {2}
    assert scheduler.runnable(found, 1) == (Job(3, 3), Job(4, 2))


def test_the_median_rule_stops_no_trial_before_enough_have_completed():
    found = trials([COMPLETE, 1, 1], [RUNNING, 9])
    assert make_scheduler(MEDIAN, 2, 2).eliminated(found) == frozenset()


@pytest.mark.parametrize(
    ("epochs", "first"), [(1, 1), (2, 1), (7, 1), (8, 1), (16, 2), (51, 6), (1000, 125)]
)
def test_the_median_rule_leaves_the_first_eighth_of_a_training_alone(epochs, first):
    scheduler = make_scheduler(Median(name="median"), epochs, 6)
    assert scheduler.runnable([], 1) == (Job(0, first),)
    better = [[COMPLETE, *[1] * epochs]] * 5
    assert scheduler.eliminated(trials(*better, [RUNNING, *[2] * (first - 1)])) == frozenset()
    if first < epochs:
        assert scheduler.eliminated(trials(*better, [RUNNING, *[2] * first])) == {5}
