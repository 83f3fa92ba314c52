"""Studies simulated for schedulers, and trials in rows."""

import math
import random
from dataclasses import replace

from hpo.search.scheduler import Evolving
from hpo.search.schedulers.make import make_scheduler
from hpo.spec.sections import pruner as pruners
from hpo.spec.sections.scheduler import (
    Asha,
    AutoScheduler,
    Bohb,
    Hyperband,
    Median,
    NoScheduler,
    OptunaPruner,
    Patience,
    Pbt,
    SuccessiveHalving,
)
from hpo.trial import Job, Trial, TrialState

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
        assert found[job.trial].epochs < job.to_epoch
    starts = jobs[len(begun) :]
    assert [job.trial for job in starts] == list(range(len(found), len(found) + len(starts)))
    assert all(job.to_epoch > 0 and job.trial < total for job in starts)
