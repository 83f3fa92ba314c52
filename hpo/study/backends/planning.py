"""Plans how the programs of a study run: decided once, explained to the user, pinned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import geometric_mean
from typing import TYPE_CHECKING

from hpo.data.dataset import DataSet
from hpo.engine.mesh import Place, devices_of, even_lanes
from hpo.engine.program import Program
from hpo.engine.programs.costs import read_costs, write_costs
from hpo.engine.programs.merging import decide, estimated_seconds
from hpo.engine.programs.plans import Plan, Plans, choose_plans
from hpo.search.proposals.cohorts import advice, cohort_text
from hpo.search.schedulers.make import outline
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.experiment import Experiment
from hpo.spec.load import require_search
from hpo.spec.merging import NOTHING, Merging
from hpo.spec.programs import count_programs
from hpo.spec.sections.scheduler import budget_of
from hpo.spec.words import count_text
from hpo.study.executors.messages import ProgramTimes
from hpo.study.log.events import MERGING, Pin

if TYPE_CHECKING:
    from hpo.study.storage.journal import Journal  # imports the database, which hpo train needs not


@dataclass(frozen=True)
class StudyPlan:
    """The leaves that programs merge, and the plans that each program chooses from."""

    merging: Merging
    plans: Plans


def plan_study(
    experiment: Experiment,
    data: DataSet,
    places: Sequence[Place],
    is_learning: bool,
    cache: Path | None,
    journal: Journal,
    explain: Callable[[str], None],
) -> StudyPlan:
    """The plan of a study: the pinned one, or a new one, which is then pinned."""
    search, epochs = require_search(experiment), experiment.training.train.epochs
    planned = outline(search.scheduler, epochs, search.trials)
    total = planned.epochs
    place, pools = places[0], len(places)
    devices = devices_of(place)
    platform = devices[0].platform
    merging, programs = _merging(experiment, data, platform, pools, total, cache, journal, explain)
    if budget_of(search.scheduler) == "size":
        programs *= len(planned.budgets)  # each size of images has programs of its own
    lanes, runs = experiment.training.train.lanes, search.trials * experiment.runs_each
    each = choose_plans(
        platform,
        lanes,
        runs,
        pools * len(devices),
        is_learning,
        epochs=total * experiment.runs_each / max(1.0, programs),
        form=experiment.training.train.form,
    )
    # With "auto", the number is for each device of a pool.
    times = len(devices) if lanes == "auto" else 1

    def spread(plan: Plan) -> Plan:
        return replace(plan, lanes=even_lanes(place, plan.lanes * times))

    plans = replace(each, usual=spread(each.usual), others=tuple(map(spread, each.others)))
    _explain_cohorts(experiment, programs, plans.usual.lanes, platform, explain)
    explain(f"A new program has {count_text(plans.usual.lanes, 'lane')} a pool: {plans.usual.why}.")
    for label, pin in journal.state.pins.items():
        if label != MERGING:
            pinned = count_text(pin["lanes"], "lane")
            explain(f"Program {label} is pinned: {pin['form']}, {pinned} a pool.")
    return StudyPlan(merging, plans)


def _explain_cohorts(
    experiment: Experiment,
    programs: float,
    lanes: int,
    platform: str,
    explain: Callable[[str], None],
) -> None:
    search, space = require_search(experiment), experiment.space
    root = type(experiment.training)
    if search.cohort > 1:
        explain(f"Cohorts: {cohort_text(search.cohort, space, root)}.")
    elif text := advice(search, space, programs, lanes, platform != "cpu", root):
        explain(text)


def _merging(
    experiment: Experiment,
    data: DataSet,
    platform: str,
    pools: int,
    epochs: int,
    cache: Path | None,
    journal: Journal,
    explain: Callable[[str], None],
) -> tuple[Merging, float]:
    """The leaves that programs merge, and the expected number of programs."""
    search = require_search(experiment)
    pin = journal.state.pins.get(MERGING)
    if pin is not None:
        explain(f"{pin['why']} (Decided when the study began.)")
        return Merging.from_pin(pin), pin["programs"]
    counted = count_programs(experiment)
    shapes = math.ceil(search.trials / search.cohort)
    apart = float(shapes if counted is None else min(counted, shapes))
    if isinstance(experiment.training, TaskTraining):
        explain("Nothing is merged: the program of a task of your own is as its author wrote it.")
        return NOTHING, apart
    if experiment.training.train.merged != "auto":
        explain("Programs merge what train.merged says.")
        return NOTHING, apart
    if platform != "cpu" or experiment.training.train.form == "vmap":
        explain("Nothing is merged: lanes that train side by side would run every branch.")
        return NOTHING, apart
    if apart == 1:
        explain("One program serves the whole space.")
        return NOTHING, apart
    decision = decide(
        experiment.training,
        experiment.space,
        data.train.example_shape,
        data.outputs,
        len(data.train),
        search.trials,
        epochs / search.trials * experiment.runs_each,
        pools,
        read_costs(cache).rounded,
        search.cohort,
        data.vocabulary,
        data.categories,
        data.embedding_size,
    )
    explain(decision.sentence())
    programs = decision.estimate.programs
    pin = {**decision.merging.pin(), "programs": programs, "why": decision.sentence()}
    journal.record(Pin(MERGING, pin))
    return decision.merging, programs


class PlanTeller:
    """Explains each pinned plan that differs from the usual one.

    Such a plan was measured, or its lanes did not fit the memory.
    """

    def __init__(self, plans: Plans, journal: Journal, explain: Callable[[str], None]) -> None:
        self._usual, self._journal, self._explain = plans.usual, journal, explain
        self._seen = dict(journal.state.pins)

    def look(self) -> None:
        """Explain the plans that were pinned since the last look."""
        for label, pin in self._journal.state.pins.items():
            if label == MERGING or self._seen.get(label) is pin:
                continue
            self._seen[label] = pin
            plan = Plan.from_pin(pin)
            if (plan, plan.why) != (self._usual, self._usual.why):
                lanes = f"{count_text(plan.lanes, 'lane')} a pool"
                self._explain(f"Program {label}: {plan.form} with {lanes}, {plan.why}.")


def learn_costs(cache: Path | None, times: ProgramTimes) -> None:
    """Keep for later studies how long programs took on this machine, relative to the estimates."""
    compiling = [
        seconds / estimated_seconds(program)[0]
        for program, seconds in times.compile_seconds
        if isinstance(program, Program)
    ]
    running = [
        seconds / estimated_seconds(program)[1]
        for program, seconds in times.part_seconds
        if isinstance(program, Program)
    ]
    costs = read_costs(cache).seen(
        geometric_mean(compiling) if compiling else None,
        geometric_mean(running) if running else None,
    )
    write_costs(cache, costs)
