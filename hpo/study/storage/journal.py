"""The journal: a driver writes the study's log with it, one transaction for each round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from hpo.study.log.events import Event, Happening, StudyState
from hpo.study.storage.lease import Lease
from hpo.study.storage.tables import Mirror, Storage

# How much a copy of the database without its write-ahead log may lack after a kill.
_SETTLE_SECONDS = 1.0

# Gets the events that have just been stored, and the state that they led to.
Listener: TypeAlias = Callable[[Sequence[Event], StudyState], None]


class Journal(Protocol):
    """Where a driver writes the study's log."""

    state: StudyState

    def record(self, what: Happening, trial: int | None = None) -> None:
        """Apply an event; the next `flush` stores it."""
        ...

    def flush(self) -> None:
        """Store the new events in one transaction."""
        ...


class StudyJournal:
    """The study's state and its log: `record` changes the state, and `flush` stores the events.

    `open_mirror` gives Optuna's tables. It is called after the first flush, when the devices are
    at work, because it takes half a second. `listen` gets the events of each flush.
    """

    def __init__(
        self,
        storage: Storage,
        study_id: int,
        state: StudyState,
        lease: Lease,
        open_mirror: Callable[[], Mirror | None],
        listen: Listener | None = None,
    ) -> None:
        self.state = state
        self._storage, self._study_id, self._lease = storage, study_id, lease
        self._open_mirror: Callable[[], Mirror | None] | None = open_mirror
        self._mirror: Mirror | None = None
        self._listen = listen
        self._events: list[Event] = []
        self._settle_due = 0.0

    def record(self, what: Happening, trial: int | None = None) -> None:
        """Apply an event; the next `flush` stores it."""
        self._events.append(self.state.record(what, trial, int(time.time() * 1000)))

    def flush(self) -> None:
        """Store the new events in one transaction, which also renews the lease.

        Raises:
            StudyError: if the lease is lost, or the database cannot be written.
        """
        if not self._events:
            self._lease.renew()
            return
        self._storage.append(self._study_id, self._events, self._lease.token, self._mirror)
        if self._listen is not None:
            self._listen(self._events, self.state)
        self._events.clear()
        if time.monotonic() >= self._settle_due:
            self._settle_due = time.monotonic() + _SETTLE_SECONDS
            self._storage.settle()
        if self._open_mirror is not None:
            self._mirror = self._open_mirror()
            self._open_mirror = None
