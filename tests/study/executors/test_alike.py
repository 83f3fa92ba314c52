"""Trials that fail alike from the first one on end a search."""

from __future__ import annotations

import pytest

from hpo.study.executors.alike import FirstTrials, without_figures


def failure(trial: int, what: str = "gives nan") -> str:
    return without_figures(f"metrics.py:4: {what} for {trial}.5 rows")


def test_the_fifth_trial_that_fails_as_all_before_it_is_told() -> None:
    first = FirstTrials()
    # Trials of several seeds report several times.
    assert [first.take(trial, failure(trial)) for trial in (0, 1, 1, 2, 3, 3)] == [False] * 6
    assert first.take(4, failure(4))


@pytest.mark.parametrize("other", [None, failure(3, "raised ValueError")])
def test_a_trial_that_goes_well_or_fails_otherwise_ends_the_comparison(other: str | None) -> None:
    first = FirstTrials()
    taken = [first.take(trial, other if trial == 3 else failure(trial)) for trial in range(20)]
    assert not any(taken)
