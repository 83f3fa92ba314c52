"""How a study's programs are run, and why: `hpo show STUDY --plan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding

from hpo.report.console import Text
from hpo.spec.load import require_search
from hpo.spec.words import count_text
from hpo.study.log.events import MERGING, fold
from hpo.study.log.judging import Judging
from hpo.study.storage.stored import stored_experiment
from hpo.study.storage.tables import Storage


@dataclass(frozen=True)
class ProgramPlan:
    """The pinned plan of one program."""

    label: str
    program: str
    form: str
    lanes: int
    why: str


@dataclass(frozen=True)
class PlanReport:
    """What a study's programs merge and why, and the plan of each."""

    study: str
    merging: str | None
    merged: Mapping[str, Any]
    programs: tuple[ProgramPlan, ...]


def plan_report(storage: Storage, name: str) -> PlanReport:
    """The pinned plans of the study of that name.

    Raises:
        StudyError: if there is none; the message lists those that there are.
    """
    record = storage.study(name)
    experiment = stored_experiment(record, storage.where)
    goal = require_search(experiment).goal
    judging = Judging.of(experiment.training.train, goal.first)
    pins = fold(storage.events(record.id), goal, record.where, judging).pins
    merging = pins.get(MERGING)
    return PlanReport(
        study=name,
        merging=merging["why"] if merging else None,
        merged=merging["merged"] if merging else {},
        programs=tuple(
            ProgramPlan(
                label, pin.get("program", ""), pin["form"], pin["lanes"], pin.get("why", "")
            )
            for label, pin in pins.items()
            if label != MERGING
        ),
    )


def as_json(report: PlanReport) -> dict[str, Any]:
    """A report as plain values."""
    return asdict(report)


def plan_view(report: PlanReport) -> RenderableType:
    """A paragraph for each plan."""
    lines: list[RenderableType] = [Text(report.study, "bold")]
    if report.merging:
        lines.append(_indented(Text(report.merging)))
    if not report.programs:
        lines.append(_indented(Text("No program has been compiled yet.", "dim")))
    for plan in report.programs:
        lines.append(Text.assemble("\n", (f"program {plan.label}", "bold")))
        lanes = count_text(plan.lanes, "lane")
        lines.append(_indented(Text(plan.program)))
        lines.append(_indented(Text(f"{plan.form}, {lanes} a pool: {plan.why}", "dim")))
    return Group(*lines)


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2), expand=False)
