"""The work of trials: the plans of their programs, as the study keeps them."""

from __future__ import annotations

from dataclasses import replace

from hpo.engine.labels import earlier_labels
from hpo.engine.programs.plans import Plan, Plans
from hpo.study.log.events import Pin, Propose
from hpo.study.loop.work import WorkOfTrials
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
