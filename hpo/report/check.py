"""What a study would do, before it runs: `hpo check`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from hpo.data.head import Head
from hpo.errors import cut
from hpo.report.wording import of_all_text, runs_text, scheduler_text
from hpo.search.auto import picked
from hpo.search.proposals.cohorts import cohort_text
from hpo.search.proposals.moving_ranges import widest
from hpo.search.scheduler import Bracket
from hpo.search.schedulers.make import outline
from hpo.space import Choice, Condition, Dimension, Distribution
from hpo.spec.code.own_code import Own, code_sections
from hpo.spec.experiment import Experiment, folds_of
from hpo.spec.file.passwords import without_password
from hpo.spec.load import finds_space
from hpo.spec.programs import count_programs
from hpo.spec.roots import with_static
from hpo.spec.sections.scheduler import Budget, budget_of
from hpo.spec.sections.sizes import size_text
from hpo.spec.space.unread import unread_notes
from hpo.spec.words import count_text, shown, steps_of

_WIDEST_VALUE = 50
_MOST_VALUES = 20  # of a choice, in a line
_UNSEEN = Head()


@dataclass(frozen=True)
class CheckSummary:
    """A valid spec in figures; without a search it is one trial.

    Where a search `finds_space`, by running an objective, nothing is known of the space.
    `epochs` is the total over all trials and their runs on `seeds` and `folds`, an upper bound if
    `is_upper_bound`.
    `runs` is the user's own code that it would run, `code_notes` what only running that can tell.
    `picked` says what `auto` and unset options stand for. `cohort` says what trials share; it is
    empty where each is proposed on its own. `unread` says which leaves have no effect. `programs`
    is an upper bound of the programs compiled for one device, None for a command, and
    `programs_expected` one where all numbers that are assumed to be knobs are. `device_budget` is
    how many bytes of a device data may take before they are streamed, None for a share of its
    memory. `head` is what the head of the data shows.
    """

    name: str
    finds_space: bool
    space_size: float
    dimensions: tuple[Dimension, ...]
    derived: Mapping[str, str]
    forbidden: tuple[str, ...]
    points: int
    sources: tuple[str, ...]
    trials: int
    seeds: int
    folds: int
    sampler: str | None
    scheduler: str | None
    picked: Mapping[str, str]
    cohort: str
    objective: str | None
    constraints: tuple[str, ...]
    stop: str
    notes: tuple[str, ...]
    unread: tuple[str, ...]
    runs: tuple[str, ...]
    code_notes: tuple[str, ...]
    brackets: tuple[Bracket, ...]
    epochs: int
    is_upper_bound: bool
    budget: Budget
    programs: int | None
    programs_expected: int | None
    device_budget: int | None
    head: Head


def check_summary(experiment: Experiment, head: Head = _UNSEEN) -> CheckSummary:
    """What the study of an experiment would do; `head` is what the head of its data shows.

    Raises:
        HpoError: for a scheduler that does not fit the epochs.
    """
    search, epochs = experiment.search, experiment.training.train.epochs
    space = experiment.space
    size = space.size
    trials, is_unknown = 1 if search is None else search.trials, finds_space(experiment)
    if search is not None and not is_unknown:
        # No sampler proposes a configuration twice.
        trials = int(min(trials, widest(space).size))
    planned = None if search is None else outline(search.scheduler, epochs, trials)
    programs, expected = _programs(experiment, trials)
    scheduler = search.scheduler if search else None
    if planned is not None and budget_of(scheduler) == "size":
        sizes = len(planned.budgets)
        programs, expected = (None if n is None else n * sizes for n in (programs, expected))
    budget = _device_budget(experiment)
    training: Any = experiment.training
    is_command = experiment.are_processes and training.command.own is None
    command = (training.command.text,) if is_command else ()
    most = experiment.runs_each * (planned.epochs if planned else epochs)
    goal = search.goal if search else None
    is_stopped = bool(search and str(search.stop))
    return CheckSummary(
        name=experiment.name,
        finds_space=is_unknown,
        space_size=size,
        dimensions=space.dimensions,
        derived={leaf.path: leaf.text for leaf in space.derived},
        # Rules without a deciding dimension only keep derived values within their leaves' limits.
        forbidden=tuple(rule.text for rule in space.rules if rule.deciding),
        points=len(search.start) if search else 0,
        sources=tuple(map(without_password, search.sources)) if search else (),
        trials=trials,
        seeds=experiment.training.train.seeds,
        folds=folds_of(experiment.training),
        sampler=search.sampler.name if search else None,
        scheduler=scheduler_text(search.scheduler) if search else None,
        picked=_picked(experiment, epochs),
        cohort=_cohort(experiment),
        objective=", ".join(map(str, goal.objectives)) if goal else None,
        constraints=tuple(map(str, goal.constraints)) if goal else (),
        stop=str(search.stop) if search else "",
        notes=goal.notes if goal else (),
        unread=unread_notes(training, space),
        runs=(*command, *(str(own.code) for _, own in _own_code(experiment))),
        code_notes=tuple(_code_notes(experiment)),
        brackets=planned.brackets if planned else (),
        epochs=min(most, search.stop.epochs or most) if search else most,
        is_upper_bound=is_stopped or (planned is not None and planned.is_upper_bound),
        budget=budget_of(scheduler),
        programs=programs,
        programs_expected=expected,
        device_budget=None if budget == "auto" else budget,
        head=head,
    )


def _picked(experiment: Experiment, epochs: int) -> dict[str, str]:
    texts = picked(experiment.search, experiment.space, epochs)
    if "sampler" in texts and finds_space(experiment):
        texts["sampler"] = "picked once the space is found"
    return texts


def _programs(experiment: Experiment, trials: int) -> tuple[int | None, int | None]:
    """How many programs the trials need at most, and where assumed knobs are knobs."""
    if experiment.are_processes:
        return None, None
    expected = _most_programs(experiment, trials)
    decided = with_static(experiment, _assumed(experiment))
    most = expected if decided is experiment else _most_programs(decided, trials)
    return most, expected


def _most_programs(experiment: Experiment, trials: int) -> int:
    counted = count_programs(experiment)
    return trials if counted is None else min(counted, trials)


def _device_budget(experiment: Experiment) -> int | Literal["auto"]:
    data = getattr(experiment.training, "data", None)
    return "auto" if data is None else data.device_budget


def _cohort(experiment: Experiment) -> str:
    search = experiment.search
    if search is None or search.cohort == 1:
        return ""
    root = type(experiment.training)
    return cohort_text(search.cohort, experiment.space, root, frozenset(_assumed(experiment)))


def _assumed(experiment: Experiment) -> list[str]:
    """The numbers of own code that are knobs as far as nothing has run, by their paths."""
    return [f"{name}.{leaf}" for name, own in _own_code(experiment) for leaf in own.assumed]


def _own_code(experiment: Experiment) -> Iterator[tuple[str, Own]]:
    """The sections that name code of the user's own, with that code."""
    for path, section in code_sections(experiment.training):
        yield path, section.own
    for own in getattr(experiment.training, "own_metrics", {}).values():
        yield "train.metrics", own


def _code_notes(experiment: Experiment) -> Iterator[str]:
    """What only running the code of the user's own can tell."""
    if finds_space(experiment):
        yield "the space is not written, so the search runs the function first to find it"
    for name, own in _own_code(experiment):
        if own.signature.unchecked:
            yield f"{own.signature.unchecked}, so its arguments are unchecked"
        for leaf in own.assumed:
            yield f"{name}.{leaf} is assumed to be a knob: the search tries it once, and says so"


def render(summary: CheckSummary) -> str:
    """The summary as plain text."""
    rows = [("space", "found by the search" if summary.finds_space else _size_text(summary))]
    lines_of = {d.path: _dimension_text(d) for d in summary.dimensions}
    lines_of |= {path: f"is {text}" for path, text in summary.derived.items()}
    width = max(map(len, lines_of), default=0)
    rows += [("", f"{path:{width}}  {text}") for path, text in lines_of.items()]
    rows += [("" if index else "forbidden", rule) for index, rule in enumerate(summary.forbidden)]
    first = [f"{count_text(summary.points, 'known point')}"] if summary.points else []
    first += [f"the best of {', '.join(summary.sources)}"] if summary.sources else []
    rows += [("first", ", then ".join(first))] if first else []
    if summary.sampler is not None:
        rows.append(("objective", str(summary.objective)))
        rows += [("", note) for note in summary.notes]
        rows += [("constraint", constraint) for constraint in summary.constraints]
        rows.append(("sampler", _with_pick(summary, "sampler", summary.sampler)))
        rows += [("cohort", summary.cohort)] if summary.cohort else []
        rows.append(("scheduler", _with_pick(summary, "scheduler", str(summary.scheduler))))
        shapes = Counter((bracket.sizes, bracket.budgets) for bracket in summary.brackets)
        for (sizes, budgets), times in shapes.items():
            again = f"  ({times} times)" if times > 1 else ""
            rows.append(("", _rungs_text(sizes, budgets, summary.budget) + again))
    runs = runs_text(summary.seeds, summary.folds)
    rows.append(("trials", f"{summary.trials:,}{runs and f', each on {runs}'}"))
    of_all = of_all_text(summary.budget)
    rows.append(
        ("epochs", f"{'at most ' if summary.is_upper_bound else ''}{summary.epochs:,}{of_all}")
    )
    rows += [("stops", summary.stop)] if summary.stop else []
    if summary.programs is not None:
        is_sure = summary.programs == summary.programs_expected
        expected = f", {summary.programs_expected:,} where all assumed knobs are knobs"
        rows.append(("programs", f"at most {summary.programs:,}{'' if is_sure else expected}"))
    rows += [("runs", code) for code in summary.runs]
    rows += [("data", summary.head.seen)] if summary.head.seen else []
    if summary.device_budget is not None:
        rows.append(("data", f"streamed if over {size_text(summary.device_budget)} of a device"))
    rows += [("note", note) for note in (*summary.head.notes, *summary.unread, *summary.code_notes)]
    lines = [f"{title:10} {text}" for title, text in rows]
    return "\n".join([f"{summary.name} is valid.", *lines])


def _rungs_text(sizes: Sequence[int], budgets: Sequence[int], budget: Budget) -> str:
    shares = {"share": "share of the rows", "size": "share of the pixels"}
    what, is_share = shares.get(budget, "epoch"), budget in shares
    named = [str(Fraction(b, budgets[-1])) if is_share else f"{b:,}" for b in budgets]
    rungs = ", ".join(f"{n:,} to {name}" for n, name in zip(sizes, named, strict=True))
    return f"trials to {what}: {rungs}"


def _size_text(summary: CheckSummary) -> str:
    size = "infinitely many" if math.isinf(summary.space_size) else f"{summary.space_size:,.0f}"
    return f"{count_text(len(summary.dimensions), 'dimension')}, {size} configurations"


def render_origins(rows: Sequence[tuple[str, str, str]]) -> str:
    """Every leaf of a spec with its value and where that comes from, as plain text."""
    shortened = [(path, cut(value, _WIDEST_VALUE), origin) for path, value, origin in rows]
    width = max(len(path) for path, _, _ in shortened)
    second = max(len(value) for _, value, _ in shortened)
    return "\n".join(
        f"{path:{width}}  {value:{second}}  {origin}" for path, value, origin in shortened
    )


def as_json(summary: CheckSummary) -> dict[str, Any]:
    """The summary as plain values; the size of an infinite or unknown space is None."""
    has_size = not summary.finds_space and not math.isinf(summary.space_size)
    return {
        "name": summary.name,
        "space_size": int(summary.space_size) if has_size else None,
        "dimensions": [
            {
                "path": dimension.path,
                "distribution": distribution_text(dimension.distribution),
                "when": condition_text(dimension.when).strip() or None,
                "prior": dimension.prior.value if dimension.prior else None,
                "limits": dimension.limits,
            }
            for dimension in summary.dimensions
        ],
        "derived": dict(summary.derived),
        "forbidden": list(summary.forbidden),
        "known_points": summary.points,
        "earlier_studies": list(summary.sources),
        "trials": summary.trials,
        "seeds": summary.seeds,
        "folds": summary.folds,
        "objective": summary.objective,
        "constraints": list(summary.constraints),
        "stop": summary.stop or None,
        "data": summary.head.seen or None,
        "notes": [*summary.notes, *summary.head.notes, *summary.unread, *summary.code_notes],
        "runs": list(summary.runs),
        "sampler": summary.sampler,
        "scheduler": summary.scheduler,
        "picked": dict(summary.picked),
        "cohort": summary.cohort or None,
        "brackets": [
            {"trials": list(bracket.sizes), "epochs": list(bracket.budgets)}
            for bracket in summary.brackets
        ],
        "epochs": summary.epochs,
        "epochs_are_at_most": summary.is_upper_bound,
        "programs_at_most": summary.programs,
        "programs_expected": summary.programs_expected,
        "device_budget": summary.device_budget,
    }


def _dimension_text(dimension: Dimension) -> str:
    near = f", prior {shown(dimension.prior.value)}" if dimension.prior else ""
    limits = dimension.limits
    within = f", may move within {shown(limits[0])} to {shown(limits[1])}" if limits else ""
    distribution = distribution_text(dimension.distribution)
    return f"{distribution}{near}{within}{condition_text(dimension.when)}"


def _with_pick(summary: CheckSummary, kind: str, name: str) -> str:
    return f"{name}: {summary.picked[kind]}" if kind in summary.picked else name


def distribution_text(distribution: Distribution) -> str:
    """A distribution as people read it: `0.0001 to 0.1, log`."""
    if isinstance(distribution, Choice):
        values = distribution.values
        more = f", ... ({len(values):,} values)" if len(values) > _MOST_VALUES else ""
        return ", ".join(map(shown, values[:_MOST_VALUES])) + more
    log = ", log" if distribution.log else ""
    return f"{shown(distribution.low)} to {shown(distribution.high)}{steps_of(distribution)}{log}"


def condition_text(when: Condition | None) -> str:
    """A condition to go behind a distribution: ` when optimizer.name is 'sgd'`."""
    if when is None:
        return ""
    return f" when {when.path} is {' or '.join(shown(value) for value in when.values)}"
