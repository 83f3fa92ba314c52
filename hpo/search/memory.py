"""Memories of trials that were seen before. They save time and change no answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from hpo.trial import Trial, Trials

T = TypeVar("T")


class Seeing(Protocol):
    """Something that is worked out from trials, one change at a time."""

    def see(self, before: Trial | None, after: Trial) -> None:
        """Take in that a trial is new, or has changed."""
        ...


S = TypeVar("S", bound=Seeing)


class Remembered(Generic[S]):
    """What follows from all trials, kept in step with them by the trials that have changed.

    It starts over from `empty()` where the trials cannot have come from those of the last look. So
    it holds the same for the same trials, whatever it saw before.
    """

    def __init__(self, empty: Callable[[], S]) -> None:
        self._empty = empty
        self._state = empty()
        self._mark = Trials()

    def of(self, trials: Sequence[Trial]) -> S:
        """What follows from these trials."""
        now = Trials.of(trials)
        changes = now.changes_since(self._mark)
        if len(now) < len(self._mark) or not all(change.is_progress for change in changes):
            self._state = self._empty()
            changes = now.changes_since(Trials())
        for before, after in changes:
            self._state.see(before, after)
        self._mark = now
        return self._state


class Converted(Generic[T]):
    """What each trial is turned into; only trials that have changed are converted again."""

    def __init__(self, convert: Callable[[Trial], T]) -> None:
        self._convert = convert
        self._converted: list[T] = []
        self._mark = Trials()

    def of(self, trials: Sequence[Trial]) -> list[T]:
        """The converted trials, in a list that the next call may change."""
        now = Trials.of(trials)
        del self._converted[len(now) :]
        for _, after in now.changes_since(self._mark):
            self._converted[after.number : after.number + 1] = [self._convert(after)]
        self._mark = now
        return self._converted
