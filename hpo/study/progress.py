"""How a study stands while it runs, for whoever watches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpo.study.events import Event, Start, StudyState
from hpo.trial import Trial, TrialState


@dataclass(frozen=True)
class Progress:
    """A study at one moment; `best` is None until a trial has trained in full.

    `seconds` counts this run alone, `epochs` all runs; `epochs_total` is how many there will be,
    where that is known. `leader` is the trial with the best result so far at any budget.
    """

    study: str
    metric: str
    trials: int
    states: Mapping[TrialState, int]
    epochs: int
    epochs_total: int
    epochs_are_bound: bool
    epochs_a_second: float
    programs: int
    seconds: float
    best: Trial | None
    leader: Trial | None

    @property
    def finished(self) -> int:
        """Trials that have ended."""
        return sum(count for state, count in self.states.items() if state.is_finished)

    @property
    def left_seconds(self) -> float | None:
        """About how long the rest will take; None while nobody can say."""
        if self.epochs_a_second <= 0:
            return None
        return max(0, self.epochs_total - self.epochs) / self.epochs_a_second


def states_of(state: StudyState) -> dict[TrialState, int]:
    """How many trials are in each state."""
    return dict(Counter(trial.state for trial in state.trials))


def best_trial(state: StudyState, epochs: int) -> Trial | None:
    """The winner: the best loss after `epochs` epochs, among the trials that got there."""
    finalists = [
        trial
        for trial in state.trials
        if trial.state is TrialState.COMPLETE and trial.epochs == epochs
    ]
    return min(finalists, key=lambda trial: (trial.losses[-1], trial.number), default=None)


def leading_trial(state: StudyState) -> Trial | None:
    """The trial with the best last loss, whatever its budget."""
    trained = [trial for trial in state.trials if trial.losses]
    return min(trained, key=lambda trial: (trial.losses[-1], trial.number), default=None)


def spent_seconds(events: Sequence[Event]) -> float:
    """The time that earlier runs took, each from its start to its last event."""
    total, start, last = 0, None, 0
    for event in events:
        if isinstance(event.what, Start):
            total += last - start if start is not None else 0
            start = event.time_ms
        last = event.time_ms
    return (total + (last - start if start is not None else 0)) / 1000
