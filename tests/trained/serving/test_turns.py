"""Requests that wait for a model and are answered together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import pytest

from hpo.errors import HpoError
from hpo.trained.serving.turns import Answers, BusyError, Turns


class Model:
    """Answers with twice each row; its first call lasts until others wait.

    A call for "later" lasts until the request for "beside" has its answer.
    """

    def __init__(self, most_rows: int = 16) -> None:
        self.calls: list[list[Any]] = []
        self.may_end, self.is_beside = threading.Event(), threading.Event()
        self.turns = Turns(self._answer, most_rows, 60.0)

    def _answer(self, rows: Sequence[Any]) -> Answers:
        self.calls.append([*rows])
        if rows == ["first"]:
            assert self.may_end.wait(60)
            return Answers([{}], [])
        assert rows != ["later"] or self.is_beside.wait(60)
        if "broken" in rows:
            raise HpoError(f"row {[*rows].index('broken') + 1} is broken")
        notes = ["a new category"] if "new" in rows else []
        return Answers([{"twice": 2 * row} for row in rows], notes)

    def answers(self, requests: Sequence[tuple[list[Any], Hashable]]) -> list[Any]:
        """What requests get that wait while the first one is answered, in their order."""
        found: dict[int, Any] = {}

        def ask(place: int, rows: list[Any], kind: Hashable) -> None:
            try:
                found[place] = self.turns.answers(rows, kind)
            except HpoError as error:
                found[place] = str(error)
            if rows == ["beside"]:
                self.is_beside.set()

        threads = [threading.Thread(target=ask, args=(-1, ["first"], None))]
        threads[0].start()
        _until(lambda: bool(self.calls))
        for place, (rows, kind) in enumerate(requests):
            threads.append(threading.Thread(target=ask, args=(place, rows, kind)))
            threads[-1].start()
            self._await(place + 1)
        self.may_end.set()
        for thread in threads:
            thread.join()
        return [found[place] for place in range(len(requests))]

    def _await(self, requests: int) -> None:
        _until(lambda: self.turns.waiting == requests)


def _until(is_so: Callable[[], bool]) -> None:
    tick = threading.Event()
    while not is_so():
        tick.wait(0.001)


def test_requests_that_wait_share_a_call_and_get_answers_of_their_own() -> None:
    model = Model()
    found = model.answers([([1], "a"), ([2, 3], "a"), ([4], "a")])
    assert [sorted(call) for call in model.calls[1:]] == [[1, 2, 3, 4]]
    assert [[row["twice"] for row in one.rows] for one in found] == [[2], [4, 6], [8]]


def test_requests_of_another_kind_or_of_none_are_not_joined() -> None:
    model = Model()
    model.answers([([1], "a"), ([2], "b"), ([3], None), ([4], None), ([5], "a")])
    assert [sorted(call) for call in model.calls[1:]] == [[1, 5], [2], [3], [4]]


def test_a_call_has_no_more_rows_than_it_may() -> None:
    model = Model(most_rows=2)
    model.answers([([1], "a"), ([2], "a"), ([3], "a"), ([4, 5, 6], "a")])
    assert sorted(map(len, model.calls[1:])) == [1, 2, 3]


def test_a_broken_row_spoils_no_other_request() -> None:
    model = Model()
    broken, good, told = model.answers([(["broken"], "a"), ([1], "a"), (["new"], "a")])
    assert broken == "row 1 is broken"
    assert good == Answers([{"twice": 2}], [])
    assert told == Answers([{"twice": "newnew"}], ["a new category"])


def test_an_answer_that_is_found_does_not_wait_for_later_turns() -> None:
    model = Model()
    # The call for "later" ends once the third request has gone on, which the first one answers.
    found = model.answers([([1], "a"), (["later"], "b"), (["beside"], "a")])
    assert [one.rows[0]["twice"] for one in found] == [2, "laterlater", "besidebeside"]


def test_a_call_that_waits_too_long_is_refused() -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def answer(rows: Sequence[Any]) -> Answers:
        has_begun.set()
        assert may_end.wait(60)
        return Answers([{"rows": len(rows)}], [])

    turns = Turns(answer, 16, 0.01)
    first = threading.Thread(target=turns.answers, args=([1], "a"))
    first.start()
    assert has_begun.wait(60)
    with pytest.raises(BusyError):
        turns.answers([2], "a")
    assert turns.waiting == 0
    may_end.set()
    first.join()
    assert turns.answers([3], "a").rows == [{"rows": 1}]
