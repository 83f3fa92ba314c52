"""The work of trials: the plans of their programs, as the study keeps them."""

from __future__ import annotations

from dataclasses import replace

from hpo.engine.programs.plans import Plan, Plans
from hpo.study.loop.work import WorkOfTrials
from tests.study.loop.test_driver import MemoryJournal, prepare


def test_a_study_resumed_on_more_devices_pins_its_plans_anew() -> None:
    journal, plans = MemoryJournal(), Plans(Plan("vmap", 8))
    program = prepare({}, 0).program
    for devices in (1, 8, 8, 1):
        work = WorkOfTrials(journal, prepare, plans)
        work.pin(program, replace(work.plans_of(program.label).usual, devices=devices))
        assert work.plans_of(program.label).usual.together == 8 // devices
        assert Plan.from_pin(journal.state.pins[program.label]).devices == devices
