"""Whether the first trials of a search all fail alike, so that the next would fail, too."""

from __future__ import annotations

import re
from collections.abc import Hashable

_MOST_ALIKE = 5


class FirstTrials:
    """How the first trials that report went, until one goes otherwise than those before it."""

    def __init__(self) -> None:
        self._failures: dict[Hashable, str] | None = {}  # by trial

    def take(self, trial: Hashable, failure: str | None) -> bool:
        """Take in how a trial failed, or None for one that did not.

        The result says whether the first five have now all failed alike.
        """
        if self._failures is None:
            return False
        if failure is not None:
            self._failures[trial] = failure
        if failure is None or len(set(self._failures.values())) > 1:
            self._failures = None
            return False
        return len(self._failures) == _MOST_ALIKE


def without_figures(text: str) -> str:
    """What a trial printed or raised without times and values, which differ from trial to trial."""
    return re.sub(r"[\d.]+", "", text)


def all_failed(last: str) -> str:
    """Why a search ends whose first trials have failed alike, the last of them as it says."""
    text = f"the first {_MOST_ALIKE} trials all failed, the last one so: {last.rstrip('.')}."
    return f"{text} Correct that and start over with --new"
