"""Runs a study from its spec, or goes on with one: open, build, drive, close."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import jax

from hpo.errors import HpoError
from hpo.search.proposals.moving_ranges import widest
from hpo.spec.experiment import Experiment
from hpo.spec.words import count_text, shown
from hpo.study.build import Machinery, build
from hpo.study.log.events import Stop, StopReason
from hpo.study.log.untrained import untrained
from hpo.study.loop.stop_rules import stop_sentence
from hpo.study.open import OpenStudy, open_study
from hpo.study.profile import Profile
from hpo.study.progress import Outcome, Progress
from hpo.study.signals import StopRequest, stopping_text
from hpo.study.storage.journal import Listener
from hpo.study.surroundings import Surroundings
from hpo.study.times import RunTimes

# Trials with errors in a user's own code that are told before the others are counted.
_MOST_TOLD = 3


def run_study(
    experiment: Experiment,
    around: Surroundings,
    watch: Callable[[Progress], None],
    say: Callable[[str], None],
    stop: StopRequest,
    listen: Listener | None = None,
) -> Outcome:
    """Run the study that a spec describes to its total of trials; resume it where it exists.

    `watch` gets the progress about ten times a second, `say` gets messages for the user, `listen`
    gets the events of the log as they are stored. Once `stop` is set, the run ends after the
    present round; before it has opened its study, the process may be ended.

    Raises:
        HpoError: for what the user can fix.
    """
    times = RunTimes(time.monotonic() if around.began is None else around.began)
    with ExitStack() as stack:
        profile = stack.enter_context(Profile(around.profile, say)) if around.profile else None
        study = open_study(experiment, around, times, stack, say, listen, stop.begin)
        machinery = build(study, around, times, stack, watch, say)
        executor = machinery.crew.executor
        stop.announce = lambda: stopping_text(executor.compiling(), executor.pools)
        reason = _drive(study, machinery, times, profile, stop, say)
        return _close(study, machinery, times, reason, stop, say)


def _drive(
    study: OpenStudy,
    machinery: Machinery,
    times: RunTimes,
    profile: Profile | None,
    stop: StopRequest,
    say: Callable[[str], None],
) -> StopReason:
    """Run the driver until the study is done or has to stop; why it stopped."""
    driver, timeout = machinery.driver, study.search.timeout
    left_seconds = timeout - study.spent_seconds if timeout else math.inf
    deadline = time.monotonic() + left_seconds

    def has_to_stop() -> bool:
        return stop.obey() or time.monotonic() >= deadline

    def look() -> None:
        machinery.watcher.look()
        machinery.crew.look()
        if machinery.baselines is not None:
            machinery.baselines.look(say)
        times.keep(study.journal)
        if profile is not None:
            with times.driver.during("profiling"):
                profile.look(driver.epochs_trained > 0)

    times.driver.turn_to("deciding")
    reason = driver.run(has_to_stop, look)
    if reason == "interrupted" and not stop.is_set():
        return "timeout"
    if reason == "exhausted" and math.isinf(widest(study.experiment.space).size):
        return "none_found"
    return reason


def _close(
    study: OpenStudy,
    machinery: Machinery,
    times: RunTimes,
    reason: StopReason,
    stop: StopRequest,
    say: Callable[[str], None],
) -> Outcome:
    """Note in the log that the run has stopped, and say what the user should know of it."""
    driver, journal = machinery.driver, study.journal
    before, signal = machinery.watcher.progress(), stop.signal
    _end_baselines(machinery, times, reason, stop, say)
    if ending := stop_sentence(reason, study.search.stop):
        say(f"The study stops: {ending}.")
    machinery.crew.close()
    journal.record(times.so_far())
    journal.record(Stop(reason))
    journal.flush()
    for excuse in driver.too_large.values():
        say(f"Trials were given up, and count as diverged: {excuse}")
    for number, excuse in list(driver.broken.items())[:_MOST_TOLD]:
        hparams = study.state.trial(number).hparams.items()
        values = ", ".join(f"{path} = {shown(value)}" for path, value in hparams)
        say(f"Trial {number} counts as diverged ({values}): {excuse}")
    if len(driver.broken) > _MOST_TOLD:
        others = count_text(len(driver.broken) - _MOST_TOLD, "other trial")
        say(f"The same holds for {others} with errors of their own.")
    if driver.differences:
        verb = "differs" if driver.differences == 1 else "differ"
        say(
            f"{count_text(driver.differences, 'retrained epoch')} {verb} from the stored results, "
            "which are kept. Different hardware or library versions are the usual cause."
        )
    if reason in ("finished", "exhausted", "none_found"):
        machinery.checkpoints.close()
        machinery.checkpoints.folder.clear()
    _keep_predictions(study, machinery, reason, stop, say)
    # The time and the speed of the trials, without the wait for baselines.
    progress = replace(
        machinery.watcher.progress(),
        seconds=before.seconds,
        epochs_a_second=before.epochs_a_second,
    )
    baselines = tuple(study.state.baselines.values())
    return Outcome(reason, progress, study.set_aside, signal, untrained(study.state), baselines)


def _keep_predictions(
    study: OpenStudy,
    machinery: Machinery,
    reason: StopReason,
    stop: StopRequest,
    say: Callable[[str], None],
) -> None:
    """Keep the validation predictions of the trials whose weights are kept, if the study is over.

    One that was stopped adds them when it goes on.
    """
    keeper, predict = machinery.keeper, machinery.crew.predict
    if keeper is None or predict is None or reason in ("interrupted", "timeout", "failed"):
        return
    stop.end()  # nothing is lost any more, so that the run ends as it does without a stop
    stop.announce = lambda: "Validation predictions that are not kept yet are left out."
    try:
        keeper.add_predictions(study.state, machinery.driver.work_of, predict, stop.is_set)
    except (HpoError, OSError, MemoryError, jax.errors.JaxRuntimeError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        say(f"Not all validation predictions are kept ({why:.120}): hpo ensemble computes them.")


def _end_baselines(
    machinery: Machinery,
    times: RunTimes,
    reason: StopReason,
    stop: StopRequest,
    say: Callable[[str], None],
) -> None:
    """Wait a moment for the baselines, unless the user has stopped the run or it has failed."""
    baselines = machinery.baselines
    if baselines is None:
        return
    if reason in ("interrupted", "failed"):
        baselines.end()
        return
    stop.announce = lambda: "The baselines that have no result yet are left out."
    with times.driver.during("waiting"):
        baselines.wait(stop.obey, say)
