"""The work of trials: the plans of their programs, as the study keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpo.engine.labels import earlier_labels
from hpo.engine.programs.plans import Plan, Plans
from hpo.spec.code.frames import CodeError
from hpo.study.log.events import Pin, Propose
from hpo.study.loop.work import FirstTroubles, WorkOfTrials
from tests.study.loop.test_driver import MemoryJournal, prepare


def test_a_study_resumed_on_more_devices_pins_its_plans_again() -> None:
    journal, plans = MemoryJournal(), Plans(Plan("vmap", 8))
    program = prepare({}, 0).program
    for devices in (1, 8, 8, 1):
        work = WorkOfTrials(journal, prepare, plans)
        work.pin(program, replace(work.plans_of(program.label).usual, devices=devices))
        assert work.plans_of(program.label).usual.together == 8 // devices
        assert Plan.from_pin(journal.state.pins[program.label]).devices == devices


def test_a_plan_that_an_earlier_release_pinned_is_obeyed_and_not_pinned_again() -> None:
    journal, plan = MemoryJournal(), Plan("map", 3)
    program = prepare({}, 0).program
    (label,) = earlier_labels(program)
    journal.record(Pin(label, {**plan.pin(), "program": str(program)}))
    journal.record(Propose({}, 0), 0)
    work = WorkOfTrials(journal, prepare, Plans(Plan("vmap", 8)))

    assert work.plans_of(work.of(0).program.label) == Plans(plan)
    work.pin(program, plan)

    assert journal.state.pins.keys() == {label}


def failure(rows: int, what: str = "gives nan") -> CodeError:
    return CodeError(f"train.metrics: {what} for {rows} rows.", (f"metrics.py:4: f({what})",))


def test_a_metric_that_fails_alike_in_the_first_five_trials_ends_the_search() -> None:
    troubles = FirstTroubles()
    for number in (0, 1, 1, 2, 3, 3):  # trials of several seeds report several times
        troubles.check(number, failure(number))

    with pytest.raises(CodeError) as raised:
        troubles.check(4, failure(4))

    assert str(raised.value).splitlines() == [
        "the first 5 trials all failed, the last one so: train.metrics: gives nan for 4 rows. "
        "Correct that and start over with --new.",
        "  metrics.py:4: f(gives nan)",
    ]


@pytest.mark.parametrize("other", [None, failure(3, "raised ValueError")])
def test_a_trial_that_goes_well_or_fails_otherwise_lets_the_search_go_on(
    other: CodeError | None,
) -> None:
    troubles = FirstTroubles()
    for number in range(20):
        troubles.check(number, other if number == 3 else failure(number))
