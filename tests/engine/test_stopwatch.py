"""The stopwatch: every moment belongs to one activity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.engine.stopwatch import Stopwatch


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_activity_within_another_takes_its_time_from_it() -> None:
    clock = Clock()
    watch = Stopwatch("idle", clock=clock)
    clock.now += 1
    with watch.during("feeding"):
        clock.now += 2
        with watch.during("training"):
            clock.now += 4
        clock.now += 8
    clock.now += 16
    assert watch.seconds() == {"idle": 17.0, "feeding": 10.0, "training": 4.0}


def test_the_time_of_a_failing_activity_counts() -> None:
    clock = Clock()
    watch = Stopwatch("idle", clock=clock)

    def fail() -> None:
        with watch.during("training"):
            clock.now += 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    clock.now += 1
    assert watch.seconds() == {"idle": 1.0, "training": 1.0}


def test_a_part_of_an_activity_can_be_counted_as_another() -> None:
    clock = Clock()
    watch = Stopwatch("training", clock=clock)
    clock.now += 5
    watch.turn_to("idle")
    watch.shift(2.0, "training", "evaluating")
    assert watch.seconds() == {"training": 3.0, "evaluating": 2.0, "idle": 0.0}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9))))
def test_activities_add_up_to_the_whole_time(turns: list[tuple[str, int]]) -> None:
    clock = Clock()
    watch = Stopwatch("a", began=90.0, clock=clock)
    for activity, seconds in turns:
        watch.turn_to(activity)
        clock.now += seconds
    assert sum(watch.seconds().values()) == clock.now - 90.0
