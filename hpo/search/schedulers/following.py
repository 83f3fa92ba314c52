"""What is worked out from completed trials, a trial at a time as they complete."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.trial import Trial


class Following:
    """Which completed trials have come since the last look."""

    def __init__(self) -> None:
        self._losses: dict[int, tuple[float, ...]] = {}

    def new(self, completed: Sequence[Trial]) -> tuple[list[Trial], bool]:
        """Those that have come, and whether to start again with them, for others are gone."""
        known = self._losses
        new = [trial for trial in completed if known.get(trial.number) is not trial.losses]
        starts_again = len(known) + len(new) != len(completed)
        if starts_again:
            known.clear()
            new = list(completed)
        known.update((trial.number, trial.losses) for trial in new)
        return new, starts_again
