"""Calls of a model that take their turns, those that arrive together in one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hpo.errors import HpoError


class BusyError(Exception):
    """The turn of a call did not come in time."""


class Answers(NamedTuple):
    """An answer for each row, and sentences about all of them."""

    rows: list[dict[str, Any]]
    notes: list[str]


@dataclass(eq=False)
class _Call:
    rows: Sequence[Any]
    kind: Hashable
    found: Answers | HpoError | None = None


class Turns:
    """Calls `answer` for the rows of one request after the other.

    Requests that wait when a turn begins and are of its `kind` are answered in the same call, up to
    `most_rows` rows. None waits for others to come. Where the call fails or has something to say,
    each request is answered alone.
    """

    def __init__(
        self, answer: Callable[[Sequence[Any]], Answers], most_rows: int, patience_seconds: float
    ) -> None:
        self._answer, self._most_rows, self._patience = answer, most_rows, patience_seconds
        self._turn, self._queueing = threading.Lock(), threading.Lock()
        self._waiting: list[_Call] = []

    def answers(self, rows: Sequence[Any], kind: Hashable) -> Answers:
        """The answers for rows; requests of the kind None are answered alone.

        Raises:
            BusyError: if the turn does not come in time.
            HpoError: for rows that the model does not answer.
        """
        call = _Call(rows, kind)
        with self._queueing:
            self._waiting.append(call)
        if not self._turn.acquire(timeout=self._patience):
            with self._queueing:
                if call in self._waiting:
                    self._waiting.remove(call)
                    raise BusyError
            self._turn.acquire()  # it is being answered beside another
        try:
            if call.found is None:
                self._take_turn(self._alike(call))
        finally:
            self._turn.release()
        if isinstance(call.found, HpoError):
            raise call.found
        assert call.found is not None
        return call.found

    def _alike(self, call: _Call) -> list[_Call]:
        """The call and those that wait and can be answered with it; they wait no longer."""
        found, rows = [call], len(call.rows)
        with self._queueing:
            for other in self._waiting:
                if call.kind is None or other is call or other.kind != call.kind:
                    continue
                if rows + len(other.rows) <= self._most_rows:
                    found.append(other)
                    rows += len(other.rows)
            self._waiting = [one for one in self._waiting if one not in found]
        return found

    def _take_turn(self, calls: list[_Call]) -> None:
        together = self._try([row for call in calls for row in call.rows])
        if len(calls) == 1:
            calls[0].found = together
            return
        if isinstance(together, HpoError) or together.notes:
            for call in calls:
                call.found = self._try(call.rows)
            return
        start = 0
        for call in calls:
            end = start + len(call.rows)
            call.found, start = Answers(together.rows[start:end], []), end

    def _try(self, rows: Sequence[Any]) -> Answers | HpoError:
        try:
            return self._answer(rows)
        except HpoError as error:
            return error
