"""The scheduler `none`."""

from hpo.search.schedulers.make import make_scheduler
from hpo.trial import Job
from tests.search.schedulers.studies import COMPLETE, DIVERGED, NONE, PAUSED, RUNNING, trials


def test_without_a_scheduler_every_trial_goes_to_the_end():
    found = trials([RUNNING, 1, 1], [COMPLETE, 1, 1, 1, 1], [PAUSED], [DIVERGED, 3])
    scheduler = make_scheduler(NONE, 4, 6)
    assert scheduler.runnable(found, 9) == (
        Job(0, 4),
        Job(2, 4),
        Job(4, 4),
        Job(5, 4),
    )
    assert scheduler.eliminated(found) == frozenset()
