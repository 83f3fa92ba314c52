"""Turns the log of a running study into the events of `hpo.api.events`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpo.api import events as told
from hpo.spec.experiment import Experiment
from hpo.spec.load import require_search
from hpo.study.log.events import End, Event, Propose, Report, Start, StudyState
from hpo.study.log.ranking import winner
from hpo.trial import Exploit, Trial


class Teller:
    """Sends an event for what the log of a study notes, and for every new best trial."""

    def __init__(self, experiment: Experiment, send: Callable[[told.Event], None]) -> None:
        self._study, self._search = experiment.name, require_search(experiment)
        self._epochs = experiment.training.train.epochs
        self._send = send
        self._best: Trial | None = None

    def listen(self, events: Sequence[Event], state: StudyState) -> None:
        """Send what follows from the newest events of a log; `state` includes them."""
        for event in events:
            match event.what, event.trial:
                case Start(), _:
                    # The state includes what follows the start.
                    self._start(len(state) - sum(isinstance(e.what, Propose) for e in events))
                    ended = {e.trial for e in events if isinstance(e.what, End)}
                    self._compare([t for t in state.trials if t.number not in ended])
                case (Propose() | Exploit()) as what, int(number):
                    self._send(told.Proposed(number, what.hparams))
                case Report(epoch=epoch, metrics=metrics), int(number):
                    self._send(told.Reported(number, epoch, metrics))
                case End(state=end), int(number):
                    trial = state.trial(number)
                    self._send(told.Ended(number, str(end), trial.trained, self._value(trial)))
                    if trial.is_full:
                        self._compare([trial])

    def _start(self, known: int) -> None:
        metric, trials = self._search.goal.first.metric, self._search.trials
        self._send(told.Started(self._study, metric, trials, self._epochs, known))

    def _compare(self, trials: Sequence[Trial]) -> None:
        """Send the best trial if one of these is better than the best so far."""
        known = [] if self._best is None else [self._best]
        best = winner([*known, *trials])
        if best is None or best == self._best:
            return
        self._best, value = best, self._value(best)
        assert value is not None, "a winner has a result"
        self._send(told.Best(best.number, value, best.hparams))

    def _value(self, trial: Trial) -> float | None:
        # Adding zero, because the loss of a maximised 0 is -0.
        return self._search.goal.first.loss(trial.losses[-1]) + 0.0 if trial.losses else None
