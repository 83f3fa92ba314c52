"""The Pareto front of a study with several objectives: table and plot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table

from hpo.report.console import Text
from hpo.report.wording import hparams_text, metric_text
from hpo.search.results.pareto import hypervolume, knee, pareto_front
from hpo.spec.sections.goal import Goal
from hpo.spec.words import count_text
from hpo.trial import HParams, Trial

_WIDTH, _HEIGHT = 48, 12
# A wider range than this is easier to read on a logarithmic scale.
_LOG_FROM = 30
# Where there is no terminal, lines may be of any length; hparams are wrapped there too.
_MOST_COLUMNS = 78


@dataclass(frozen=True)
class FrontTrial:
    """A trial that no other dominates; `values` are in the metrics' own units."""

    number: int
    values: Mapping[str, float]
    hparams: HParams


@dataclass(frozen=True)
class Front:
    """The Pareto front, from the best of the first objective to the worst.

    `hypervolume` is the volume between the front and the `reference`. An objective without a
    reference takes the worst value of a fully trained trial. `knee` is the number of the trial
    nearest to the best of every objective, each scaled from its best to its worst on the front.
    `beaten` holds the values of the other fully trained trials that keep the constraints.
    """

    trials: tuple[FrontTrial, ...]
    knee: int
    hypervolume: float
    reference: Mapping[str, float]
    beaten: tuple[Mapping[str, float], ...]


def front_of(trials: Sequence[Trial], goal: Goal) -> Front | None:
    """The front of a study; None for one objective, or where no trial is on it."""
    best = pareto_front(trials)
    if not best:
        return None
    points = [trial.values for trial in best]
    full = [trial for trial in trials if trial.is_full and trial.values]
    worst = [max(column) for column in zip(*(trial.values for trial in full), strict=True)]
    reference = tuple(
        value if objective.reference is None else objective.loss(objective.reference)
        for objective, value in zip(goal.objectives, worst, strict=True)
    )
    numbers = {trial.number for trial in best}
    return Front(
        trials=tuple(
            FrontTrial(trial.number, _named(goal, trial.values), trial.hparams) for trial in best
        ),
        knee=best[knee(points)].number,
        hypervolume=hypervolume(points, reference),
        reference=_named(goal, reference),
        beaten=tuple(
            _named(goal, trial.values)
            for trial in full
            if trial.violation == 0 and trial.number not in numbers
        ),
    )


def front_view(front: Front) -> RenderableType:
    """The front as a table, with a plot where there are two objectives."""
    return _View(front)


class _View:
    """The view of a front, as wide as a terminal, or 80 columns with its margin."""

    def __init__(self, front: Front) -> None:
        names = list(front.trials[0].values)
        reference = [f"{name} {metric_text(name, v)}" for name, v in front.reference.items()]
        hypervolume = f"hypervolume {front.hypervolume:.5g} up to {', '.join(reference)}"
        plot = list(_plot(front, *names)) if len(names) == 2 else []
        self._parts = Group(_table(front), Text(hypervolume, "dim"), *plot)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self._parts, _narrowed(console, options))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, _narrowed(console, options), self._parts)


def _narrowed(console: Console, options: ConsoleOptions) -> ConsoleOptions:
    return (
        options
        if console.is_terminal
        else options.update(max_width=min(options.max_width, _MOST_COLUMNS))
    )


def _table(front: Front) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for name in (*front.trials[0].values, "trial"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("hparams")
    for trial in front.trials:
        table.add_row(
            *(Text(metric_text(name, value), "bold") for name, value in trial.values.items()),
            str(trial.number),
            Text("knee", "green") if trial.number == front.knee else "",
            Text(hparams_text(trial.hparams), overflow="fold"),
        )
    return table


def front_title(front: Front) -> str:
    """The heading above the view."""
    return f"Pareto front: {count_text(len(front.trials), 'trial')} that no other dominates"


def _named(goal: Goal, values: Sequence[float]) -> dict[str, float]:
    # Adding zero turns -0, the loss of a maximized 0, into 0.
    return {
        objective.metric: objective.loss(value) + 0.0
        for objective, value in zip(goal.objectives, values, strict=True)
    }


def _plot(front: Front, first: str, second: str) -> Iterator[Text]:
    """The first objective upwards, the second to the right."""
    best = [(trial.values[second], trial.values[first]) for trial in front.trials]
    points = [(values[second], values[first]) for values in front.beaten] + best
    columns = _positions([x for x, _ in points], _WIDTH)
    rows = _positions([y for _, y in points], _HEIGHT)
    cells = [[" "] * _WIDTH for _ in range(_HEIGHT)]
    for index, (column, row) in enumerate(zip(columns, rows, strict=True)):
        cells[_HEIGHT - 1 - row][column] = "●" if index >= len(front.beaten) else "·"
        # The front comes last, so that nothing hides it.
    tops = [metric_text(first, end(y for _, y in points)) for end in (max, min)]
    margin = max(map(len, tops))
    yield Text(f"\n{first}", "dim")
    for row, line in enumerate(cells):
        label = {0: tops[0], _HEIGHT - 1: tops[1]}.get(row, "")
        text = Text(f"{label:>{margin}} │", "dim")
        for cell in line:
            text.append(cell, "green" if cell == "●" else "dim")
        yield text
    ends = [metric_text(second, end(x for x, _ in points)) for end in (min, max)]
    scale = f"{second} (log)" if _is_wide([x for x, _ in points]) else second
    yield Text(f"{'':>{margin}} └{'─' * _WIDTH}", "dim")
    yield Text(
        f"{'':>{margin}}  {ends[0]}{scale:^{_WIDTH - len(ends[0] + ends[1])}}{ends[1]}", "dim"
    )


def _positions(values: Sequence[float], cells: int) -> list[int]:
    scaled = [math.log(value) for value in values] if _is_wide(values) else list(values)
    low, high = min(scaled), max(scaled)
    if low == high:
        return [cells // 2] * len(scaled)
    return [round((value - low) / (high - low) * (cells - 1)) for value in scaled]


def _is_wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) >= _LOG_FROM
