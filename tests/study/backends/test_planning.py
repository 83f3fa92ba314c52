"""What `--explain` tells of plans while a study runs."""

from __future__ import annotations

from typing import Any

from hpo.engine.programs.plans import Plan, Plans
from hpo.spec.sections.goal import Goal, Objective
from hpo.study.backends.planning import PlanTeller
from hpo.study.log.events import MERGING, Happening, Pin, StudyState


class Log:
    """A journal that is kept in memory alone."""

    def __init__(self) -> None:
        self.state = StudyState(Goal((Objective(maximize="accuracy"),)))

    def record(self, what: Happening, trial: int | None = None) -> None:
        self.state.record(what, trial, 0)

    def flush(self) -> None:
        """Nothing waits."""


def _pin(label: str, plan: Plan) -> Pin:
    return Pin(label, {**plan.pin(), "program": "mlp"})


def test_a_plan_that_differs_from_the_usual_one_is_explained_once() -> None:
    log, said = Log(), list[str]()
    usual = Plan("map", 8, "one lane after the other")
    measured = Plan("vmap", 16, "measured: 1.3 times as fast as map with 8")
    merging: dict[str, Any] = {"merged": {}, "why": "Nothing is merged."}
    log.record(_pin("earlier", Plan("vmap", 2)))
    teller = PlanTeller(Plans(usual), log, said.append)
    log.record(Pin(MERGING, merging))
    log.record(_pin("as-usual", usual))
    log.record(_pin("measured", measured))
    teller.look()
    log.record(_pin("as-usual", Plan("map", 1, usual.why)))  # its memory ran out
    teller.look()
    teller.look()
    assert said == [
        "Program measured: vmap with 16 lanes a pool, measured: 1.3 times as fast as map with 8.",
        "Program as-usual: map with 1 lane a pool, one lane after the other.",
    ]
