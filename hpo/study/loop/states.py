"""The states of runs that are not in a lane: in memory, and as checkpoints on disk."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import replace

from hpo.study.executors.messages import Arrays, State
from hpo.study.log.events import Checkpoint
from hpo.study.storage.checkpoints import CheckpointWriter
from hpo.trial import Run

# Paused runs are kept in memory up to this many bytes; the others are read from disk again.
_MEMORY_BYTES = 2**30
_NOTHING = (0, 0)  # the progress of a run before its first step


class States:
    """Keeps the states of runs that are not in a lane.

    A checkpoint is a cache: a run without one trains again from its start, to the same results.
    """

    def __init__(self, writer: CheckpointWriter, memory_bytes: int = _MEMORY_BYTES) -> None:
        self._writer = writer
        self._memory_bytes = memory_bytes
        self._held: dict[Run, State] = {}
        self._saved: dict[Run, tuple[int, int]] = {}
        self._pending: list[tuple[State, Future[tuple[str, str] | None]]] = []

    def hold(self, state: State) -> None:
        """Keep the state of a run that has left its lane."""
        self._held[state.run] = state
        self._make_room()

    def find(self, run: Run, checkpoint: Checkpoint | None) -> State | None:
        """The newest state of a run; None where there is none."""
        if run in self._held:
            return self._held.pop(run)
        if checkpoint is None:
            return None
        arrays = self._writer.folder.load(checkpoint.file, checkpoint.sha256)
        return None if arrays is None else State(run, checkpoint.epoch, 0, arrays)

    def forget(self, run: Run) -> None:
        """Drop the state of a run that has ended."""
        self._held.pop(run, None)
        self._saved.pop(run, None)

    def copy(self, source: Run, run: Run) -> None:
        """Keep the state of `source` as that of `run` as well, in place of its own."""
        self.forget(run)
        # Writes under way are of weights that the run has given up.
        self._pending = [one for one in self._pending if one[0].run != run]
        if source in self._held:
            self.hold(replace(self._held[source], run=run))

    def save(self, states: Iterable[State] = ()) -> None:
        """Start to write these states and those held, unless the disk has them already."""
        for state in [*self._held.values(), *states]:
            if state.progress > self._saved.get(state.run, _NOTHING):
                self._write(state)

    def written(self, wait: bool = False) -> list[Checkpoint]:
        """Checkpoints that have reached the disk since the last call."""
        ready, self._pending = self._pending, []
        checkpoints = []
        for state, future in ready:
            if not (wait or future.done()):
                self._pending.append((state, future))
                continue
            saved = future.result()
            if saved is not None:
                checkpoints.append(Checkpoint(state.epoch, *saved, state.run))
            elif self._saved.get(state.run) == state.progress:
                del self._saved[state.run]  # the write failed, so the state stays in memory
        return checkpoints

    def sweep(self, referenced: Iterable[str]) -> None:
        """Delete checkpoints that the log does not refer to."""
        self._writer.folder.sweep(referenced)

    def _write(self, state: State) -> None:
        self._saved[state.run] = state.progress
        future = self._writer.submit(state.run, state.epoch, state.arrays)
        self._pending.append((state, future))

    def _make_room(self) -> None:
        excess = sum(_bytes(state.arrays) for state in self._held.values()) - self._memory_bytes
        if excess <= 0:
            return
        waiting = {state.run for state, _ in self._pending}
        for run, state in list(self._held.items()):
            if excess <= 0:
                return
            excess -= _bytes(state.arrays)
            if run in waiting:
                continue
            if self._saved.get(run, _NOTHING) < state.progress:
                self._write(state)
            else:
                del self._held[run]


def _bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())
