"""What the space varied for a trial: as the run that proposed it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.spec.load import require_search
from hpo.study.log.events import Propose, Start, StudyState
from hpo.study.loop.varied import varied_for, varied_note
from tests.study.whole import DOCUMENT, an_experiment

RATE = {"optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True}}
BOTH = frozenset({"model.dropout", "optimizer.learning_rate"})


def _state(*drivers: Mapping[str, Any]) -> StudyState:
    """A study of several runs, each of which proposes a trial."""
    state = StudyState(require_search(an_experiment()).goal)
    for number, driver in enumerate(drivers):
        state.record(Start(driver), None, 0)
        state.record(Propose({}, state.seq), number, 0)
    return state


def test_a_trial_varies_what_the_run_that_proposed_it_varied() -> None:
    first, edited = an_experiment(), an_experiment(space=RATE)
    state = _state(varied_note(first.space), varied_note(edited.space))
    assert [varied_for(state, n, edited) for n in (0, 1)] == [BOTH, frozenset(RATE)]


def test_the_present_space_counts_if_the_log_does_not_say_what_varied() -> None:
    edited = an_experiment(space=RATE)
    assert varied_for(_state({}, varied_note(edited.space)), 0, edited) == frozenset(RATE)


def test_a_population_uses_what_its_present_space_varies() -> None:
    scheduler = {"name": "pbt", "population": 4, "interval": 1}
    edited = an_experiment(space=RATE, search={**DOCUMENT["search"], "scheduler": scheduler})
    state = _state(varied_note(an_experiment().space))
    assert varied_for(state, 0, edited) == frozenset(RATE)
