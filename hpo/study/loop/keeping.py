"""Keeps the weights of the best trials while a search runs: `search.keep_weights`."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from hpo.study.executors.messages import Arrays, State
from hpo.study.kept.files import Kept, has_predictions, prune_kept, read_kept, write_kept
from hpo.study.log.events import Metrics, StudyState
from hpo.study.log.ranking import rank
from hpo.study.loop.work import Predict, Work
from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.study.storage.provenance import Provenance
from hpo.trial import Run

_LOG = logging.getLogger(__name__)

# How long the log waits for the weights of trials that have ended.
_PATIENCE_SECONDS = 5.0


def best_complete(state: StudyState, count: int) -> set[int]:
    """The numbers of the best trials that are trained in full and keep the constraints."""
    sound = (trial for trial in state.trials if trial.is_full and trial.violation == 0)
    return {trial.number for trial in heapq.nsmallest(count, sound, key=rank)}


@dataclass
class _Ended:
    """A trial that has ended, and the last states of its runs as far as they are here."""

    epochs: int
    metrics: Sequence[Metrics]
    curves: Mapping[Run, Sequence[Metrics]]
    work: Work
    states: dict[Run, Arrays] = field(default_factory=dict)


class Keeper:
    """Writes the last states of the best `count` trials, and deletes those of trials that fall out.

    Files are written by a thread of its own. A full disk does not stop the study.
    """

    def __init__(self, folder: CheckpointFolder, count: int, provenance: Provenance) -> None:
        self._folder, self._count, self._provenance = folder, count, provenance
        self._ended: dict[int, _Ended] = {}
        self._files: list[Future[None]] = []  # written or deleted
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hpo-weights")

    def holds_back(self, due: float) -> bool:
        """Whether the log that is `due` to be stored waits for weights, by the monotonic clock.

        So the weights of every trial whose end is stored are on disk. It waits for seconds at most.
        """
        is_busy = bool(self._ended) or not all(one.done() for one in self._files)
        return is_busy and time.monotonic() < due + _PATIENCE_SECONDS

    def prune(self, state: StudyState) -> None:
        """Delete the files of trials that are not among the best."""
        self._submit(prune_kept, self._folder, best_complete(state, self._count))

    def wants(
        self,
        state: StudyState,
        number: int,
        curves: Mapping[Run, Sequence[Metrics]],
        work: Work,
    ) -> bool:
        """Whether a trial that has just ended is among the best; its states are then awaited.

        `curves` are those of its runs.
        """
        if number not in best_complete(state, self._count):
            return False
        trained = state.trial(number).trained
        self._ended[number] = _Ended(trained, [*state.metrics[number]], curves, work)
        return True

    def take(self, arrived: State, state: StudyState) -> None:
        """Take a state of a trial that has ended, if it is awaited; the last one is written."""
        number = arrived.run.trial
        ended = self._ended.get(number)
        if ended is None or arrived.run not in ended.curves:
            return
        if arrived.progress != (ended.epochs, 0):
            del self._ended[number]  # weights of another epoch than the one that judges the trial
            return
        ended.states[arrived.run] = arrived.arrays
        if ended.states.keys() == ended.curves.keys():
            del self._ended[number]
            best = best_complete(state, self._count)
            if number in best:
                self._submit(self._write, self._kept(number, ended), best)

    def take_held(self, number: int, held: State | None, state: StudyState) -> None:
        """Take the state of a run that no lane has, or await no other one where it is nowhere."""
        if held is None:
            self.drop(number)
        else:
            self.take(held, state)

    def drop(self, number: int) -> None:
        """Await no state of a trial: one of them is lost."""
        self._ended.pop(number, None)

    def add_predictions(
        self,
        state: StudyState,
        work_of: Callable[[int], Work],
        predict: Predict,
        has_to_stop: Callable[[], bool],
    ) -> None:
        """Add to the files of the best trials what they predict for the validation rows.

        No state is taken after this. Files of other libraries, data or devices stay as they are.
        """
        self.close()
        best = best_complete(state, self._count)
        for number in sorted(best):
            if has_to_stop():
                return
            if has_predictions(self._folder, number):
                continue
            kept = read_kept(self._folder, number)
            if kept is None or not kept.is_of(state.metrics[number]):
                continue
            work = work_of(number)
            is_same = kept.provenance == self._provenance_of(work)
            predictions = predict(work, kept.states) if is_same else None
            if predictions is not None:
                self._write(kept._replace(predictions=predictions), best)

    def _provenance_of(self, work: Work) -> dict[str, Any]:
        # A task without data has no reference to any.
        fingerprint = work.data.fingerprint or self._provenance.data_fingerprint
        return replace(self._provenance, data_fingerprint=fingerprint).to_document()

    def _kept(self, number: int, ended: _Ended) -> Kept:
        return Kept(
            number,
            ended.metrics,
            {run._replace(trial=0).key: curve for run, curve in ended.curves.items()},
            {run._replace(trial=0).key: arrays for run, arrays in ended.states.items()},
            getattr(ended.work.training.train, "precision", ""),
            self._provenance_of(ended.work),
        )

    def _write(self, kept: Kept, best: set[int]) -> None:
        try:
            prune_kept(self._folder, best, write_kept(self._folder, kept))
        except OSError as error:
            _LOG.warning(
                "cannot keep the weights of trial %d in %s: %s; the study goes on without.",
                kept.trial,
                self._folder.path,
                error.strerror or error,
            )

    def close(self) -> None:
        """Wait for the files that are still being written."""
        self._thread.shutdown()
        self._look()

    def _submit(self, change: Callable[..., None], *what: object) -> None:
        self._look()
        self._files.append(self._thread.submit(change, *what))

    def _look(self) -> None:
        """Raise what the thread has raised, which is a mistake in hpo."""
        done = [one for one in self._files if one.done()]
        self._files = [one for one in self._files if one not in done]
        for one in done:
            one.result()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
