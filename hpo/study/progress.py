"""How a study stands while it runs, and how the run ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from hpo.search.schedulers.make import outline
from hpo.spec.experiment import Experiment
from hpo.spec.sections.scheduler import Budget, budget_of
from hpo.study.log.baseline import Baseline
from hpo.study.log.events import Event, Start, StopReason, StudyState
from hpo.study.log.ranking import leading_trial, winner
from hpo.study.log.untrained import Untrained
from hpo.trial import Trial, TrialState

_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Progress:
    """A study at one moment; `best` is None until a trial has trained in full.

    `seconds` counts this run alone, `epochs` all runs and all seeds. `epochs_total` is the expected
    number of epochs, or an upper bound if `epochs_are_bound`. `leader` is `best`, or else the first
    trial of the ranking so far. A run that `is_stopping` waits for its present round. `programs` is
    None where trials are processes, which compile none, and `is_at_once` says that each of them
    reports a single result. With another `budget` than epochs, those on a share of the rows or
    pixels count as much of one.
    """

    study: str
    metric: str
    trials: int
    states: Mapping[TrialState, int]
    epochs: int
    epochs_total: int
    epochs_are_bound: bool
    epochs_a_second: float
    programs: int | None
    seconds: float
    best: Trial | None
    leader: Trial | None
    is_stopping: bool = False
    is_at_once: bool = False
    budget: Budget = "epochs"

    @property
    def finished(self) -> int:
        """Trials that have ended."""
        return sum(count for state, count in self.states.items() if state.is_finished)

    @property
    def left_seconds(self) -> float | None:
        """The estimated time that is left; None before the first epoch."""
        if self.epochs_a_second <= 0:
            return None
        return max(0, self.epochs_total - self.epochs) / self.epochs_a_second


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    `signal` is the number of the signal that stopped it, if one did; `set_aside` is the name under
    which an earlier study of that name is kept. `untrained` is given where no trial was trained.
    `baselines` are those of all runs.
    """

    reason: StopReason
    progress: Progress
    set_aside: str | None
    signal: int | None = None
    untrained: Untrained | None = None
    baselines: tuple[Baseline, ...] = ()


def state_of(state: StudyState, trial: Trial) -> TrialState:
    """A trial's state; a running trial of a stopped study counts as paused."""
    is_left = state.stop is not None and trial.state is TrialState.RUNNING
    return TrialState.PAUSED if is_left else trial.state


def states_of(state: StudyState) -> dict[TrialState, int]:
    """How many trials are in each state; a running trial without an epoch is not counted."""
    return dict(
        Counter(
            state_of(state, trial)
            for trial in state.trials
            if trial.epochs or trial.state is not TrialState.RUNNING
        )
    )


def spent_seconds(events: Sequence[Event]) -> float:
    """The seconds of earlier runs, each from its start to its last event."""
    total, start, last = 0, None, 0
    for event in events:
        if isinstance(event.what, Start):
            total += last - start if start is not None else 0
            start = event.time_ms
        last = event.time_ms
    return (total + (last - start if start is not None else 0)) / 1000


class AtWork(Protocol):
    """What a watcher asks of the driver.

    `epochs_trained` counts this run alone, including parts of epochs; diverged epochs do not count.
    """

    epochs_trained: float
    is_stopping: bool

    def in_training(self) -> Set[int]:
        """The trials whose lanes have work."""
        ...


class Watcher:
    """Calls `watch` with the progress of a running study, about ten times a second."""

    def __init__(
        self,
        experiment: Experiment,
        state: StudyState,
        driver: AtWork,
        compiled_programs: Callable[[], int],
        watch: Callable[[Progress], None],
    ) -> None:
        assert experiment.search is not None
        self._study, self._search = experiment.name, experiment.search
        self._epochs = experiment.training.train.epochs
        self._runs_each = experiment.runs_each
        self._outline = outline(self._search.scheduler, self._epochs, self._search.trials)
        self._state, self._driver, self._compiled_programs = state, driver, compiled_programs
        self._watch = watch
        self._are_processes = experiment.are_processes
        self._start = self._looked = time.monotonic()
        self._first_epoch: float | None = None
        self._start_anew()

    def look(self) -> None:
        """Call `watch`, unless the last call was a moment ago."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._watch(self.progress())

    def progress(self) -> Progress:
        """The study at this moment."""
        # Rounded, because the parts of a diverged epoch may not add up to exactly one.
        now, trained = time.monotonic(), max(0.0, round(self._driver.epochs_trained, 6))
        if trained and self._first_epoch is None:
            self._first_epoch = now
        seconds = 0.0 if self._first_epoch is None else now - self._first_epoch
        self._take_in()
        best = self._best
        return Progress(
            study=self._study,
            metric=self._search.goal.first.metric,
            trials=self._search.trials,
            states=self._states(),
            epochs=self._epochs_reached(),
            epochs_total=(self._outline.epochs - self._epochs_held) * self._runs_each,
            epochs_are_bound=self._outline.is_upper_bound,
            epochs_a_second=trained / seconds if seconds > 0 else 0.0,
            programs=None if self._are_processes else self._compiled_programs(),
            seconds=now - self._start,
            best=best,
            leader=best or leading_trial(self._state.trials),
            is_stopping=self._driver.is_stopping,
            is_at_once=self._are_processes and self._epochs == 1,
            budget=budget_of(self._search.scheduler),
        )

    def _epochs_reached(self) -> int:
        """The epochs of all trials; on shares of the rows or pixels, what all runs were worth."""
        if budget_of(self._search.scheduler) != "epochs":
            return self._state.epochs
        under_way = sum(trial.epochs for trial in self._state.trials.unfinished)
        return self._runs_each * (self._epochs_ended + under_way)

    def _start_anew(self) -> None:
        self._followed = self._state.ended
        self._seen = self._epochs_ended = self._epochs_held = 0
        self._ended: Counter[TrialState] = Counter()
        self._best: Trial | None = None

    def _take_in(self) -> None:
        """Count the trials that have ended since the last call."""
        if self._followed is not self._state.ended:
            self._start_anew()  # a trial that had ended is active again
        new = [self._state.trial(number) for number in self._state.ended[self._seen :]]
        self._seen += len(new)
        self._ended.update(trial.state for trial in new)
        self._epochs_ended += sum(trial.trained for trial in new)
        self._epochs_held += sum(trial.held for trial in new)
        candidates = new if self._best is None else [self._best, *new]
        self._best = winner(candidates)

    def _states(self) -> dict[TrialState, int]:
        """How many trials are in each state; a trial without a lane or an epoch is not counted.

        `states_of` counts the trials of a study that has stopped.
        """
        at_work = self._driver.in_training() if self._state.stop is None else frozenset[int]()
        counts = Counter(self._ended)
        for trial in self._state.trials.unfinished:
            if trial.state is not TrialState.RUNNING or trial.number in at_work:
                counts[trial.state] += 1
            elif trial.epochs:
                counts[TrialState.PAUSED] += 1
        return dict(counts)
