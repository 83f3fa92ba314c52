"""Calls of a model that take their turns, those that arrive together in one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
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
    """Calls `answer` for the rows of one request after the other, in the order in which they came.

    Requests that wait when a turn begins and are of its `kind` are answered in the same call, up to
    `most_rows` rows. None waits for others to come. Where the call fails or has something to say,
    each request is answered alone.
    """

    def __init__(
        self, answer: Callable[[Sequence[Any]], Answers], most_rows: int, patience_seconds: float
    ) -> None:
        self._answer, self._most_rows, self._patience = answer, most_rows, patience_seconds
        self._changed = threading.Condition()
        self._is_answering = False
        self._waiting: list[_Call] = []

    @property
    def waiting(self) -> int:
        """The number of requests that have no turn yet."""
        return len(self._waiting)

    def answers(self, rows: Sequence[Any], kind: Hashable) -> Answers:
        """The answers for rows; requests of the kind None are answered alone.

        Raises:
            BusyError: if the turn does not come in time.
            HpoError: for rows that the model does not answer.
        """
        call = _Call(rows, kind)
        with self._changed:
            self._waiting.append(call)
            while not self._changed.wait_for(partial(self._is_due, call), self._patience):
                if call in self._waiting:
                    self._waiting.remove(call)
                    raise BusyError
                # Otherwise it is being answered beside another.
            if call.found is None:
                self._is_answering, calls = True, self._alike(call)
        if call.found is None:
            self._take_turn(calls)
        if isinstance(call.found, HpoError):
            raise call.found
        assert call.found is not None
        return call.found

    def _is_due(self, call: _Call) -> bool:
        """Whether a call is answered or may begin: the one that has waited longest is next."""
        is_next = call not in self._waiting or call is self._waiting[0]
        return call.found is not None or (is_next and not self._is_answering)

    def _alike(self, call: _Call) -> list[_Call]:
        """The call and those that wait and can be answered with it; they wait no longer."""
        found, rows = [call], len(call.rows)
        for other in self._waiting:
            if call.kind is None or other is call or other.kind != call.kind:
                continue
            if rows + len(other.rows) <= self._most_rows:
                found.append(other)
                rows += len(other.rows)
        self._waiting = [one for one in self._waiting if one not in found]
        return found

    def _take_turn(self, calls: Sequence[_Call]) -> None:
        """Answer calls; each goes on as soon as its answer is found."""
        try:
            for call, found in self._found(calls):
                with self._changed:
                    call.found = found
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._is_answering = False
                self._changed.notify_all()

    def _found(self, calls: Sequence[_Call]) -> Iterator[tuple[_Call, Answers | HpoError]]:
        together = self._try([row for call in calls for row in call.rows])
        if len(calls) == 1:
            yield calls[0], together
        elif isinstance(together, HpoError) or together.notes:
            for call in calls:
                yield call, self._try(call.rows)
        else:
            start = 0
            for call in calls:
                end = start + len(call.rows)
                yield call, Answers(together.rows[start:end], [])
                start = end

    def _try(self, rows: Sequence[Any]) -> Answers | HpoError:
        try:
            return self._answer(rows)
        except HpoError as error:
            return error
