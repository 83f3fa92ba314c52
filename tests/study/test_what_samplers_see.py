"""What a sampler is shown of the trials, under each scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hpo.search.samplers.random import RandomSearch
from hpo.search.schedulers.make import make_scheduler
from hpo.study.loop.replicas import Replicas
from hpo.trial import HParam, Trial, TrialState
from tests.study.loop.test_driver import EPOCHS, SCHEDULERS, SPACE, Study


class Onlooker:
    """Random search that checks what it is shown."""

    def __init__(self, scheduler: str) -> None:
        self.states: set[TrialState] = set()
        self._scheduler = make_scheduler(SCHEDULERS[scheduler], EPOCHS, 20)

    def ask(self, trials: Sequence[Trial], n: int) -> list[dict[str, HParam]]:
        at_work = {job.trial for job in self._scheduler.runnable(trials, 0)}
        # A rule may have come to stop a trial whose epoch is still under way.
        at_work |= self._scheduler.eliminated(trials)
        for trial in trials:
            self.states.add(trial.state)
            if trial.state is TrialState.RUNNING:
                assert trial.number in at_work, "one that waits is not under way"
            if trial.state is TrialState.PAUSED:
                assert trial.losses, "one that waits has a result"
            if trial.state is TrialState.DIVERGED:
                assert trial.epochs < EPOCHS, "what diverged has no last result"
        return RandomSearch(SPACE, 0).ask(trials, n)


@pytest.mark.parametrize(
    ("scheduler", "seeds"), [*((name, 1) for name in SCHEDULERS), ("hyperband", 2)]
)
def test_a_trial_that_waits_is_shown_as_paused_and_not_as_under_way(
    tmp_path: Path, scheduler: str, seeds: int
) -> None:
    run, onlooker = Study(tmp_path, scheduler), Onlooker(scheduler)
    run.rules = replace(run.rules, sampler=onlooker, is_learning=True, replicas=Replicas(seeds))
    run.go(pools=2, lanes=3)
    assert run.reason == "finished"
    assert {TrialState.RUNNING, TrialState.DIVERGED} <= onlooker.states
    if scheduler in ("halving", "asha", "hyperband"):
        assert TrialState.PAUSED in onlooker.states
