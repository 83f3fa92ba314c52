import inspect
import math
import random
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.registry import SCHEDULERS
from hpo.search.scheduler import Evolving
from hpo.search.schedulers.make import make_scheduler, outline
from hpo.spec.schema import variants_of
from hpo.spec.sections import pruner as pruners
from hpo.spec.sections.population import Pbt
from hpo.spec.sections.scheduler import (
    Asha,
    AutoScheduler,
    Bohb,
    Hyperband,
    Median,
    NoScheduler,
    OptunaPruner,
    Patience,
    SuccessiveHalving,
)
from hpo.trial import Job, Trial, TrialState
from tests.effort import effort

RUNNING, PAUSED, COMPLETE = TrialState.RUNNING, TrialState.PAUSED, TrialState.COMPLETE
PRUNED, DIVERGED = TrialState.PRUNED, TrialState.DIVERGED
AUTO = AutoScheduler(name="auto")
NONE = NoScheduler(name="none")
MEDIAN = Median(name="median", min_epochs=1, startup_trials=2)
HALVING = SuccessiveHalving(name="successive_halving")
ASHA = Asha(name="asha")
HYPERBAND = Hyperband(name="hyperband")
BOHB = Bohb(name="bohb")
PATIENCE = Patience(name="patience", epochs=2)
PRUNERS = {
    "median": pruners.MedianPruner(name="median", n_startup_trials=2),
    "percentile": pruners.PercentilePruner(name="percentile", percentile=25, n_startup_trials=2),
    "successive_halving": pruners.SuccessiveHalvingPruner(name="successive_halving"),
    "hyperband": pruners.HyperbandPruner(name="hyperband"),
    "threshold": pruners.ThresholdPruner(name="threshold", upper=50.0),
    "wilcoxon": pruners.WilcoxonPruner(name="wilcoxon"),
    "nop": pruners.NopPruner(name="nop"),
    "patient": pruners.PatientPruner(
        name="patient",
        patience=1,
        wrapped_pruner=pruners.SuccessiveHalvingPruner(name="successive_halving"),
    ),
}
OPTUNA = {
    f"optuna {name}": OptunaPruner(name="optuna", pruner=spec) for name, spec in PRUNERS.items()
}
PBT = Pbt(name="pbt", population=7, interval=3)
ALL = (AUTO, NONE, MEDIAN, HALVING, ASHA, HYPERBAND, BOHB, PATIENCE, PBT)
SPECS = {spec.name: spec for spec in ALL}
# The pruners that differ in how they look at trials; a study of each of the others is run once.
STUDIED = [*SPECS, "optuna percentile", "optuna hyperband"]
SPECS |= OPTUNA
SYNCHRONOUS = ["auto", "none", "successive_halving", "hyperband", "bohb", "pbt"]


def trials(*rows):
    """Trials from rows of (state, loss, ...)."""
    return [
        Trial(number, {}, row[0], tuple(map(float, row[1:]))) for number, row in enumerate(rows)
    ]


def simulate(spec, epochs, total, seed, diverging=frozenset()):
    """Run a study on random lanes: any jobs, in any order, an epoch at a time.

    A trial's losses are a function of its number. Returns its trials as they ended.
    """
    rng = random.Random(seed)
    scheduler = make_scheduler(spec, epochs, total)
    found: list[Trial] = []
    lanes: dict[int, Job] = {}
    for _ in range(100_000):
        for number in scheduler.eliminated(found) - lanes.keys():
            assert not found[number].state.is_finished
            found[number] = replace(found[number], state=PRUNED)
        pending = [one for one in replacements(scheduler, found) if not one.is_done(found)]
        for one in rng.sample(pending, rng.randint(0, len(pending))):
            found[one.trial] = replaced(found[one.trial], one.epoch)
        jobs = scheduler.runnable(found, rng.randint(1, 5))
        check(jobs, found, scheduler.eliminated(found), total)
        free = [job for job in jobs if job.trial not in lanes]
        if not free and not lanes and not pending:
            break
        starts = [job for job in free if job.trial >= len(found)]
        begun = [job for job in free if job.trial < len(found)]
        chosen = rng.sample(begun, rng.randint(0, len(begun))) + starts[: rng.randint(0, 3)]
        for job in chosen:
            if job.trial == len(found):
                found.append(Trial(job.trial, {}))
            lanes[job.trial] = job
            found[job.trial] = replace(found[job.trial], state=RUNNING)
        for number in rng.sample(sorted(lanes), rng.randint(0, len(lanes))):
            found[number] = train_one_epoch(found[number], epochs, number in diverging)
            if found[number].state.is_finished or found[number].epochs == lanes[number].to_epoch:
                del lanes[number]
                if found[number].state is RUNNING and rng.random() < 0.7:
                    found[number] = replace(found[number], state=PAUSED)
    else:
        raise AssertionError("the study does not end")
    return found


def replacements(scheduler, found):
    """Those that an evolving scheduler asks for."""
    return scheduler.replacements(found) if isinstance(scheduler, Evolving) else ()


def replaced(trial, epoch):
    """The trial with another's weights; the epochs that it lost by diverging are infinite."""
    losses = (*trial.losses, *[math.inf] * (epoch - trial.epochs))
    return replace(trial, losses=losses, state=PAUSED, exploited=epoch)


def train_one_epoch(trial, epochs, diverges):
    if diverges and trial.epochs == trial.number % epochs:
        return replace(trial, state=DIVERGED)
    # A few losses are equal, so that ties are met.
    loss = trial.number * 7 % 5 + trial.number * 13 % 11 / (trial.epochs + 1)
    losses = (*trial.losses, loss)
    return replace(trial, losses=losses, state=COMPLETE if len(losses) == epochs else RUNNING)


def check(jobs, found, eliminated, total):
    """What holds of every answer."""
    assert len({job.trial for job in jobs}) == len(jobs)
    assert not eliminated & {job.trial for job in jobs}
    begun = [job for job in jobs if job.trial < len(found)]
    for job in begun:
        assert not found[job.trial].state.is_finished
        assert job.from_epoch == found[job.trial].epochs < job.to_epoch
    starts = jobs[len(begun) :]
    assert [job.trial for job in starts] == list(range(len(found), len(found) + len(starts)))
    assert all(job.from_epoch == 0 and job.trial < total for job in starts)


def outcome(found):
    return [(trial.number, trial.state, trial.losses) for trial in found]


def test_every_scheduler_and_every_pruner_is_tested_here():
    assert {spec.name for spec in SPECS.values()} == SCHEDULERS.keys()
    assert {*PRUNERS} == {*variants_of(OptunaPruner, "pruner").specs}


studies = {
    "epochs": st.integers(1, 30),
    "total": st.integers(1, 50),
    "seed": st.integers(0, 10**6),
}


@pytest.mark.parametrize("name", STUDIED)
@settings(max_examples=20, deadline=None)
@given(**studies)
def test_every_study_ends_with_all_trials_ended_and_a_winner(name, epochs, total, seed):
    found = simulate(SPECS[name], epochs, total, seed)
    assert len(found) == total
    assert all(trial.state in (COMPLETE, PRUNED) for trial in found)
    assert any(trial.state is COMPLETE for trial in found)
    announced = outline(SPECS[name], epochs, total)
    trained = sum(trial.epochs for trial in found)
    assert trained <= announced.epochs if announced.is_upper_bound else trained == announced.epochs


@pytest.mark.parametrize("name", STUDIED)
@settings(max_examples=25, deadline=None)
@given(diverging=st.sets(st.integers(0, 49)), **studies)
def test_every_study_ends_where_trials_diverge(name, epochs, total, seed, diverging):
    found = simulate(SPECS[name], epochs, total, seed, diverging)
    assert len(found) == total
    assert all(trial.state.is_finished for trial in found)


@pytest.mark.parametrize("name", ["successive_halving", "asha", "hyperband"])
@settings(max_examples=40, deadline=None)
@given(diverging=st.sets(st.integers(0, 49)), **studies)
def test_halving_ends_with_a_winner_unless_all_trials_diverge(name, epochs, total, seed, diverging):
    found = simulate(SPECS[name], epochs, total, seed, diverging)
    assert any(t.state is COMPLETE for t in found) or all(t.state is DIVERGED for t in found)


@pytest.mark.parametrize("name", SYNCHRONOUS)
@settings(max_examples=25, deadline=None)
@given(diverging=st.sets(st.integers(0, 49)), other=st.integers(0, 10**6), **studies)
def test_synchronous_schedulers_do_not_care_which_results_arrive_first(
    name, epochs, total, seed, diverging, other
):
    one = simulate(SPECS[name], epochs, total, seed, diverging)
    assert outcome(one) == outcome(simulate(SPECS[name], epochs, total, other, diverging))


@pytest.mark.parametrize("name", STUDIED)
@settings(max_examples=15, deadline=None)
@given(diverging=st.sets(st.integers(0, 49)), **studies)
def test_a_scheduler_that_has_seen_other_trials_answers_like_a_new_one(
    name, epochs, total, seed, diverging
):
    seen = make_scheduler(SPECS[name], epochs, total)
    for other in (seed + 1, seed):
        found = simulate(SPECS[name], epochs, total, other, diverging)
        unended = [replace(t, state=PAUSED) if t.state is PRUNED else t for t in found]
        for now in (found, unended[: total // 2 + 1], unended):
            new = make_scheduler(SPECS[name], epochs, total)
            assert seen.runnable(now, 3) == new.runnable(now, 3)
            assert seen.eliminated(now) == new.eliminated(now)


@pytest.mark.parametrize("name", STUDIED)
@pytest.mark.parametrize("total", [1, 9, 22])
def test_a_metric_that_never_changes_costs_what_was_announced(name, total, monkeypatch):
    def flat(trial, epochs, diverges):
        losses = (*trial.losses, 1.0)
        return replace(trial, losses=losses, state=COMPLETE if len(losses) == epochs else RUNNING)

    monkeypatch.setitem(globals(), "train_one_epoch", flat)
    found = simulate(SPECS[name], 9, total, seed=0)
    assert len(found) == total
    assert all(trial.state in (COMPLETE, PRUNED) for trial in found)
    assert any(trial.state is COMPLETE for trial in found)
    announced = outline(SPECS[name], 9, total)
    trained = sum(trial.epochs for trial in found)
    assert trained <= announced.epochs if announced.is_upper_bound else trained == announced.epochs
    if name == "successive_halving" and total == 9:
        # The first of equals go on: a third, and a third of these.
        assert [trial.epochs for trial in found] == [9, 3, 3, *[1] * 6]


@pytest.mark.parametrize("name", OPTUNA)
def test_a_study_of_every_pruner_ends_with_a_winner(name):
    found = simulate(SPECS[name], 9, 8, 0, diverging={3})
    assert len(found) == 8
    assert all(trial.state.is_finished for trial in found)
    assert any(trial.state is COMPLETE for trial in found)


@pytest.mark.parametrize("name", [name for name in STUDIED if name != "optuna hyperband"])
def test_what_an_answer_costs_grows_no_faster_than_the_trials(name):
    def cost(total):
        scheduler = make_scheduler(SPECS[name], 27, total)
        rng = random.Random(0)
        budgets = (1, 3, 9, 27)
        # Rules that only stop trials let none wait but those that a lane was taken from.
        waits = PRUNED if name.startswith("optuna") else PAUSED
        found = [
            Trial(
                n,
                {},
                COMPLETE if epochs == 27 else waits,
                tuple(rng.random() for _ in range(epochs)),
            )
            for n in range(total * 9 // 10)
            for epochs in [budgets[n % 27 % 4]]
        ]
        found += [Trial(len(found) + n, {}, RUNNING, (0.5, 0.5, 0.5)) for n in range(16)]
        scheduler.runnable(found, 64), scheduler.eliminated(found)
        found[-1] = replace(found[-1], losses=(0.5, 0.5, 0.5, 0.5))
        return effort(lambda: scheduler.runnable(found, 64))

    # Ten times as many trials; quadratic work would be a hundred times as much.
    assert cost(5_000) < 20 * cost(500)


def test_without_a_scheduler_every_trial_goes_to_the_end():
    found = trials([RUNNING, 1, 1], [COMPLETE, 1, 1, 1, 1], [PAUSED], [DIVERGED, 3])
    scheduler = make_scheduler(NONE, 4, 6)
    assert scheduler.runnable(found, 9) == (
        Job(0, 2, 4),
        Job(2, 0, 4),
        Job(4, 0, 4),
        Job(5, 0, 4),
    )
    assert scheduler.eliminated(found) == frozenset()


def test_starts_are_at_most_the_window():
    assert make_scheduler(HYPERBAND, 27, 100).runnable([], 2) == (Job(0, 0, 1), Job(1, 0, 1))
    assert make_scheduler(ASHA, 27, 100).runnable([], 0) == ()


def test_a_trial_killed_between_rungs_continues_to_its_rung():
    found = trials([RUNNING, 1, 1, 1, 1, 1], [PAUSED, 2, 2, 2])
    assert make_scheduler(ASHA, 9, 2).runnable(found, 1) == (Job(0, 5, 9),)


def test_halving_waits_for_the_whole_rung():
    found = trials([PAUSED, 1], [PAUSED, 2], [RUNNING])
    scheduler = make_scheduler(HALVING, 3, 6)
    assert scheduler.runnable(found, 2) == (Job(2, 0, 1), Job(3, 0, 1), Job(4, 0, 1))
    assert scheduler.eliminated(found) == frozenset()


def test_halving_promotes_the_best_before_all_else():
    found = trials([PAUSED, 3], [PAUSED, 1], [PAUSED, 2], [RUNNING])
    scheduler = make_scheduler(HALVING, 3, 6)
    assert scheduler.runnable(found, 1) == (Job(1, 1, 3), Job(3, 0, 1), Job(4, 0, 1))


def test_halving_ends_the_rest_once_their_bracket_has_a_winner():
    scheduler = make_scheduler(HALVING, 3, 3)
    rest = ([PAUSED, 3], [PAUSED, 2])
    assert scheduler.eliminated(trials([RUNNING, 1, 1], *rest)) == frozenset()
    assert scheduler.eliminated(trials([COMPLETE, 1, 1, 1], *rest)) == {1, 2}


def test_the_next_best_takes_the_place_of_a_diverged_trial():
    # Nine trials, three places at 3 epochs: 0 diverged on the way there, so that 3 goes on.
    waiting = ([PAUSED, loss] for loss in range(3, 9))
    found = trials([DIVERGED, 0, 0], [PAUSED, 1, 1, 1], [RUNNING, 2], *waiting)
    assert make_scheduler(HALVING, 9, 9).runnable(found, 0) == (Job(2, 1, 3), Job(3, 1, 3))


def test_where_all_that_got_on_diverge_the_best_that_waits_highest_goes_on():
    # Both that reached 3 epochs but one have diverged, and the one place beyond is free again.
    rung_of_one = trials([DIVERGED, 0, 0, 0], [PAUSED, 1, 1, 1], [DIVERGED, 2, 2, 2], [PAUSED, 3])
    scheduler = make_scheduler(HALVING, 9, 4)
    assert scheduler.runnable(rung_of_one, 0) == (Job(1, 3, 9),)
    lower = trials([DIVERGED, 0, 0, 0], [PAUSED, 2], [PAUSED, 1], [RUNNING, 0.5, 0.5])
    assert scheduler.runnable(lower, 0) == (Job(3, 2, 3),)
    alone = trials([DIVERGED, 0, 0, 0], [PAUSED, 2], [PAUSED, 1], [DIVERGED, 3, 3])
    assert scheduler.runnable(alone, 0) == (Job(2, 1, 3),)
    assert scheduler.eliminated(alone) == frozenset()


@pytest.mark.parametrize("spec", [HALVING, ASHA, PATIENCE], ids=lambda spec: spec.name)
def test_a_trial_that_breaks_a_constraint_is_no_winner(spec):
    # How long a model takes to answer is known at the end alone.
    waiting = [2.0] * 3 if spec is PATIENCE else [2.0]
    rows = [[COMPLETE, *[1] * 9], [PAUSED, *waiting], [PAUSED, *(w + 1 for w in waiting)]]
    found = trials(*rows, *rows[:1] * (spec is PATIENCE))
    scheduler = make_scheduler(spec, 9, len(found))
    assert scheduler.eliminated(found) == {1, 2}
    found = [replace(t, violation=0.5) if t.state is COMPLETE else t for t in found]
    assert scheduler.eliminated(found) == frozenset()
    job = scheduler.runnable(found, 0)[0]
    assert (job.trial, job.from_epoch) == (1, len(waiting))


def test_halving_breaks_ties_by_the_number():
    found = trials([PAUSED, 1], [PAUSED, 1], [PAUSED, 1])
    assert make_scheduler(HALVING, 3, 3).runnable(found, 1) == (Job(0, 1, 3),)


def test_a_diverged_trial_takes_its_place_at_the_rung_and_never_goes_on():
    found = trials([DIVERGED], [PAUSED, 5], [DIVERGED])
    scheduler = make_scheduler(HALVING, 3, 3)
    assert scheduler.runnable(found, 1) == (Job(1, 1, 3),)
    all_diverged = trials([DIVERGED], [DIVERGED], [DIVERGED])
    assert scheduler.runnable(all_diverged, 1) == ()


def test_promotions_to_the_highest_rung_come_first():
    nine = [[PAUSED, n] for n in range(9)]
    found = trials([PAUSED, 0, 0, 0], [PAUSED, 1, 1, 1], [PAUSED, 2, 2, 2], *nine[3:], *nine)
    jobs = make_scheduler(HALVING, 9, 18).runnable(found, 0)
    assert jobs == (Job(0, 3, 9), Job(9, 1, 3), Job(10, 1, 3), Job(11, 1, 3))


def test_asha_promotes_as_soon_as_a_trial_is_among_the_best_so_far():
    scheduler = make_scheduler(ASHA, 9, 100)
    assert scheduler.runnable(trials([PAUSED, 2], [PAUSED, 1]), 1) == (Job(2, 0, 1),)
    three = trials([PAUSED, 2], [PAUSED, 1], [PAUSED, 3])
    assert scheduler.runnable(three, 1) == (Job(1, 1, 3), Job(3, 0, 1))


def test_asha_counts_diverged_trials_at_their_rung():
    found = trials([DIVERGED], [PAUSED, 1], [DIVERGED])
    assert make_scheduler(ASHA, 9, 100).runnable(found, 0) == (Job(1, 1, 3),)


def test_asha_does_not_promote_twice_from_one_place():
    found = trials([PAUSED, 2], [RUNNING, 1, 1], [PAUSED, 3])
    assert make_scheduler(ASHA, 9, 100).runnable(found, 0) == (Job(1, 2, 3),)


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


def test_halving_trains_the_arms_of_jamieson_and_talwalkar():
    # Figure 3 with eta = 2: 8 arms, then 4, 2 and 1, by loss.
    spec = SuccessiveHalving(name="successive_halving", eta=2)
    found = simulate(spec, 8, 8, 0)
    best = sorted(range(8), key=lambda n: (n * 7 % 5 + n * 13 % 11 / 2, n))[:4]
    assert {trial.number for trial in found if trial.epochs >= 2} == {*best}
    assert sorted(trial.epochs for trial in found) == [1, 1, 1, 1, 2, 2, 4, 8]


def test_asha_eliminates_a_trial_once_no_results_to_come_could_promote_it():
    # Two of nine trials are still to start, so the lowest rung has three places in the end.
    finalist = [COMPLETE, *[0] * 9]
    found = trials(finalist, *([PAUSED, loss] for loss in (1, 2, 3, 4, 5, 6)))
    assert make_scheduler(ASHA, 9, 9).eliminated(found) == {3, 4, 5, 6}


def test_asha_sends_the_best_trial_to_the_end_where_there_are_fewer_than_eta():
    found = trials([PAUSED, 2], [PAUSED, 1])
    scheduler = make_scheduler(ASHA, 9, 2)
    assert scheduler.eliminated(found) == frozenset()
    assert scheduler.runnable(found, 1) == (Job(1, 1, 3),)


def test_the_median_rule_compares_the_best_loss_with_the_median_of_the_means():
    # Means after two epochs: 3 and 5, so their median is 4.
    completed = [[COMPLETE, 4, 2, 1, 1], [COMPLETE, 6, 4, 1, 1]]
    found = trials(*completed, [RUNNING, 5, 4.5], [RUNNING, 4.0, 9], [RUNNING, 4.5])
    scheduler = make_scheduler(MEDIAN, 4, 5)
    assert scheduler.eliminated(found) == {2}
    assert scheduler.runnable(found, 1) == (Job(3, 2, 3), Job(4, 1, 2))


def test_the_median_rule_stops_nobody_before_enough_trials_have_completed():
    found = trials([COMPLETE, 1, 1], [RUNNING, 9])
    assert make_scheduler(MEDIAN, 2, 2).eliminated(found) == frozenset()


@pytest.mark.parametrize(
    ("epochs", "first"), [(1, 1), (2, 1), (7, 1), (8, 1), (16, 2), (51, 6), (1000, 125)]
)
def test_the_median_rule_leaves_the_first_eighth_of_a_training_alone(epochs, first):
    scheduler = make_scheduler(Median(name="median"), epochs, 6)
    assert scheduler.runnable([], 1) == (Job(0, 0, first),)
    better = [[COMPLETE, *[1] * epochs]] * 5
    assert scheduler.eliminated(trials(*better, [RUNNING, *[2] * (first - 1)])) == frozenset()
    if first < epochs:
        assert scheduler.eliminated(trials(*better, [RUNNING, *[2] * first])) == {5}


@pytest.mark.parametrize(
    ("epochs", "patience"), [(2, 1), (3, 2), (4, 3), (39, 3), (40, 4), (51, 5), (200, 20)]
)
def test_patience_is_a_tenth_of_a_training(epochs, patience):
    scheduler = make_scheduler(Patience(name="patience"), epochs, 2)
    assert scheduler.runnable([], 1) == (Job(0, 0, patience + 1),)
    flat = trials([RUNNING, *[1] * patience], [RUNNING, *[1] * (patience + 1)])
    assert {job.trial for job in scheduler.runnable(flat[:1], 0)} == {0}
    assert {job.trial for job in scheduler.runnable(flat, 0)} == {0}


def test_a_trial_without_progress_waits():
    found = trials([RUNNING, 5, 4, 4, 4], [RUNNING, 5, 4, 3], [RUNNING, 5, 5])
    scheduler = make_scheduler(PATIENCE, 9, 3)
    # The others are looked at after every epoch, from the third on.
    assert scheduler.runnable(found, 0) == (Job(1, 3, 4), Job(2, 2, 3))
    assert scheduler.eliminated(found) == frozenset()


def test_a_trial_that_its_pace_does_not_bring_to_the_winner_is_eliminated():
    # In two epochs these gained 1, and 5 are left: 2.5 more, if they go on in a straight line.
    winner = [COMPLETE, *[1] * 9]
    far, near = [RUNNING, 6, 5.5, 5, 4.5], [RUNNING, 4.9, 4.4, 3.9, 3.4]
    scheduler = make_scheduler(PATIENCE, 9, 4)
    found = trials(winner, far, near, winner)
    assert scheduler.eliminated(found) == {1}
    assert scheduler.runnable(found, 0) == (Job(2, 4, 5),)
    # What one trial alone came to says too little.
    assert scheduler.eliminated(trials(winner, far, near)) == frozenset()


def test_the_pace_is_that_of_the_best_losses_so_far():
    winner = [COMPLETE, *[2] * 9]
    # From 4 to 3 in two epochs, the last of which was a bad one.
    noisy = [RUNNING, 5, 4, 3, 4.5]
    assert make_scheduler(PATIENCE, 9, 3).eliminated(trials(winner, noisy, winner)) == frozenset()


def test_an_improvement_of_no_more_than_min_delta_is_none():
    spec = Patience(name="patience", epochs=2, min_delta=1.0)
    assert make_scheduler(spec, 9, 2).runnable(trials([RUNNING, 5, 4, 3.5]), 0) == (Job(0, 3, 4),)
    assert make_scheduler(spec, 9, 2).runnable(trials([RUNNING, 5, 4, 4]), 0) == ()


def test_patience_begins_at_min_epochs():
    spec = Patience(name="patience", epochs=1, min_epochs=4)
    scheduler = make_scheduler(spec, 9, 2)
    assert scheduler.runnable(trials([RUNNING, 1, 1]), 1) == (Job(0, 2, 4), Job(1, 0, 4))
    assert scheduler.runnable(trials([RUNNING, 1, 1, 1, 1]), 0) == ()


def test_the_best_trial_without_progress_goes_on_if_it_may_win():
    scheduler = make_scheduler(PATIENCE, 9, 4)
    halted = ([PAUSED, 4, 4, 4], [PAUSED, 3, 3, 3])
    assert scheduler.runnable(trials(*halted, [RUNNING], [RUNNING]), 0) == (
        Job(2, 0, 3),
        Job(3, 0, 3),
    )
    complete = [COMPLETE, *[3.5] * 9]
    assert scheduler.runnable(trials(*halted, complete, complete), 0) == (Job(1, 3, 9),)
    assert scheduler.eliminated(trials(*halted, complete, complete)) == {0}
    going_on = trials(halted[0], [RUNNING, 3, 3, 3, 3], complete, complete)
    assert scheduler.runnable(going_on, 0) == (Job(1, 4, 9),)


def test_gains_that_came_late_in_another_training_are_waited_for():
    # The winner gained 1.5 from the third epoch on, 0.5 from the eighth on; the other less.
    winner, other = [COMPLETE, *[5] * 7, 4, 3.5], [COMPLETE, *[5] * 9]
    early, late = [PAUSED, 4.9, 4.9, 4.9], [RUNNING, *[4.9] * 7, 4.1]
    scheduler = make_scheduler(PATIENCE, 9, 5)
    assert scheduler.eliminated(trials(winner, early, late, other)) == {2}
    assert scheduler.eliminated(trials(winner, [PAUSED, 5.1, 5.1, 5.1], other)) == {1}
    # Every trial that waits may be the best: they go on, once nothing else is to do.
    better = [PAUSED, 4.8, 4.8, 4.8]
    assert scheduler.runnable(trials(winner, early, better, early, other), 0) == (
        Job(2, 3, 9),
        Job(1, 3, 9),
        Job(3, 3, 9),
    )


def test_the_best_of_five_that_wait_goes_on_beside_other_work():
    scheduler = make_scheduler(PATIENCE, 9, 9)
    four = [[PAUSED, loss, loss, loss] for loss in (4, 3, 5, 6)]
    going, five = [RUNNING, 5, 4, 3], [*four, [PAUSED, 7, 7, 7]]
    start = Job(6, 0, 3)
    assert scheduler.runnable(trials(*four, going, going), 1) == (
        Job(4, 3, 4),
        Job(5, 3, 4),
        start,
    )
    assert scheduler.runnable(trials(*five, going), 1) == (Job(1, 3, 9), Job(5, 3, 4), start)
    # While it is on its way no other is sent.
    five[1] = [RUNNING, 3, 3, 3, 3]
    five.append([PAUSED, 2, 2, 2])
    assert scheduler.runnable(trials(*five), 0) == (Job(1, 4, 9),)


def test_an_equal_of_the_winner_waits_where_another_objective_may_tell_them_apart():
    scheduler = make_scheduler(PATIENCE, 9, 3)
    found = trials([COMPLETE, *[2] * 9], [PAUSED, 2, 2, 2], [COMPLETE, *[3] * 9])
    assert scheduler.eliminated(found) == {1}
    found[0] = replace(found[0], values=(2.0, 100.0))
    assert scheduler.eliminated(found) == frozenset()
    assert scheduler.runnable(found, 0) == (Job(1, 3, 9),)


@pytest.mark.parametrize("later", [[], [[COMPLETE, 9, 9]]], ids=["gone", "another"])
def test_a_pruner_answers_anew_where_what_it_compared_with_is_gone_or_another(later):
    median = pruners.MedianPruner(name="median", n_startup_trials=1)
    scheduler = make_scheduler(OptunaPruner(name="optuna", pruner=median), 2, 3)
    waiting = [RUNNING, 3]
    assert scheduler.eliminated(trials(waiting, [COMPLETE, 1, 1])) == {0}
    assert scheduler.eliminated(trials(waiting, *later)) == frozenset()


def test_what_breaks_a_constraint_waits_behind_what_keeps_it():
    found = trials([PAUSED, 1, 1, 1], [PAUSED, 2, 2, 2])
    found[0] = replace(found[0], violation=0.5)
    assert make_scheduler(PATIENCE, 9, 2).runnable(found, 0) == (Job(1, 3, 9), Job(0, 3, 9))


def stopped(spec, *rows, epochs=9):
    scheduler = make_scheduler(OptunaPruner(name="optuna", pruner=spec), epochs, len(rows))
    return scheduler.eliminated(trials(*rows))


def test_the_threshold_pruner_stops_what_leaves_its_bounds():
    spec = pruners.ThresholdPruner(name="threshold", lower=0.0, upper=1.0, n_warmup_steps=2)
    assert stopped(spec, [RUNNING, 0, 2], [RUNNING, 2], [RUNNING, 2, 1], [RUNNING, 0, -1]) == {0, 3}


def test_the_percentile_pruner_compares_with_the_completed_trials_at_the_same_epoch():
    spec = pruners.PercentilePruner(name="percentile", percentile=25, n_startup_trials=2)
    completed = [[COMPLETE, n, *[0] * 8] for n in (1, 2, 3, 4, 5)]
    assert stopped(spec, *completed, [RUNNING, 1.9], [RUNNING, 2.1]) == {6}


def test_the_halving_pruner_keeps_the_best_of_those_that_reached_the_rung_so_far():
    spec = pruners.SuccessiveHalvingPruner(name="successive_halving", reduction_factor=2)
    # Rungs at 1, 2, 4 and 8: of four losses at epoch 1 the best two stay; 3 and 4 are no rungs.
    rows = ([RUNNING, 1], [RUNNING, 2], [RUNNING, 3], [RUNNING, 4])
    assert stopped(spec, *rows) == {2, 3}
    assert stopped(spec, *rows[:3], [RUNNING, 4, 9, 9]) == {2}
    assert stopped(spec, [RUNNING, 1, 5], [PRUNED, 2, 3], [PRUNED, 3]) == {0}


def test_the_hyperband_pruner_compares_within_a_bracket_that_follows_from_the_number():
    spec = pruners.HyperbandPruner(name="hyperband")
    # Brackets of 9, 5 and 3 shares; in the first one there is a rung at epoch 1.
    lowest = [n for n in range(60) if zlib.crc32(f"hpo_{n}".encode()) % (9 + 5 + 3) < 9]
    found = stopped(spec, *([RUNNING, n] for n in range(60)), epochs=9)
    assert found == {*lowest[len(lowest) // 3 :]}


def test_the_patient_pruner_asks_another_only_where_there_is_no_progress():
    wrapped = pruners.ThresholdPruner(name="threshold", upper=1.0)
    spec = pruners.PatientPruner(name="patient", patience=1, wrapped_pruner=wrapped)
    rows = ([RUNNING, 5, 4, 3], [RUNNING, 4, 5, 5], [RUNNING, 0, 1, 1])
    assert stopped(spec, *rows) == {1}
    alone = pruners.PatientPruner(name="patient", patience=1)
    assert stopped(alone, *rows) == {1, 2}


def test_the_bounds_of_a_maximised_metric_change_sides():
    spec = pruners.ThresholdPruner(name="threshold", lower=0.5, upper=0.9)
    turned = pruners.for_losses(
        pruners.PatientPruner(name="patient", patience=0, wrapped_pruner=spec)
    )
    assert (turned.wrapped_pruner.lower, turned.wrapped_pruner.upper) == (-0.9, -0.5)


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_has_the_arguments_and_defaults_of_optunas(name):
    import optuna

    spec = type(PRUNERS[name])
    theirs = inspect.signature(getattr(optuna.pruners, spec.__name__)).parameters
    ours = {field: info for field, info in spec.model_fields.items() if field != "name"}
    assert ours.keys() == theirs.keys()
    for field, info in ours.items():
        default = theirs[field].default
        if default is not inspect.Parameter.empty:
            assert info.default == default
