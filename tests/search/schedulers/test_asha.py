"""Asynchronous successive halving."""

from hpo.search.schedulers.make import make_scheduler
from hpo.trial import Job, Trial
from tests.search.schedulers.studies import ASHA, COMPLETE, DIVERGED, PAUSED, RUNNING, trials


def test_a_trial_killed_between_rungs_continues_to_its_rung():
    found = trials([RUNNING, 1, 1, 1, 1, 1], [PAUSED, 2, 2, 2])
    assert make_scheduler(ASHA, 9, 2).runnable(found, 1) == (Job(0, 9),)


def test_asha_promotes_as_soon_as_a_trial_is_among_the_best_so_far():
    scheduler = make_scheduler(ASHA, 9, 100)
    assert scheduler.runnable(trials([PAUSED, 2], [PAUSED, 1]), 1) == (Job(2, 1),)
    three = trials([PAUSED, 2], [PAUSED, 1], [PAUSED, 3])
    assert scheduler.runnable(three, 1) == (Job(1, 3), Job(3, 1))


def test_asha_counts_diverged_trials_at_their_rung():
    found = trials([DIVERGED], [PAUSED, 1], [DIVERGED])
    assert make_scheduler(ASHA, 9, 100).runnable(found, 0) == (Job(1, 3),)


def test_asha_does_not_promote_twice_from_one_place():
    found = trials([PAUSED, 2], [RUNNING, 1, 1], [PAUSED, 3])
    assert make_scheduler(ASHA, 9, 100).runnable(found, 0) == (Job(1, 3),)


def test_asha_gives_one_worker_the_jobs_of_algorithm_2():
    # Worked out by hand from get_job of Li et al. 2020, with budgets 1, 3, 9 and eta 3.
    losses = [5, 3, 8, 1, 9, 2, 7, 4, 6]
    scheduler, found, jobs = make_scheduler(ASHA, 9, 9), [], []
    while answer := scheduler.runnable(found, 1):
        job = answer[0]
        trial = Trial(job.trial, {}, PAUSED, (float(losses[job.trial]),) * job.to_epoch)
        found[job.trial : job.trial + 1] = [trial]
        jobs.append((job.trial, job.to_epoch))
    begun = [(0, 1), (1, 1), (2, 1), (1, 3), (3, 1), (3, 3), (4, 1), (5, 1), (5, 3), (3, 9)]
    assert jobs == [*begun, (6, 1), (7, 1), (8, 1)]


def test_asha_eliminates_a_trial_once_no_future_result_could_promote_it():
    # Two of nine trials are still to start, so the lowest rung has three places in the end.
    finalist = [COMPLETE, *[0] * 9]
    found = trials(finalist, *([PAUSED, loss] for loss in (1, 2, 3, 4, 5, 6)))
    assert make_scheduler(ASHA, 9, 9).eliminated(found) == {3, 4, 5, 6}


def test_asha_sends_the_best_trial_to_the_end_where_there_are_fewer_than_eta():
    found = trials([PAUSED, 2], [PAUSED, 1])
    scheduler = make_scheduler(ASHA, 9, 2)
    assert scheduler.eliminated(found) == frozenset()
    assert scheduler.runnable(found, 1) == (Job(1, 3),)
