"""Studies on a terminal: `hpo list`, `hpo show` and the end of `hpo search`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

import rich.text
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table

from hpo.report.console import Text
from hpo.report.front import front_title, front_view
from hpo.report.insight.view import effects_view, fit_text
from hpo.report.study_report import (
    BaselineResult,
    Overview,
    StudyReport,
    TrialReport,
    TrialResult,
)
from hpo.report.wording import (
    STATE_STYLES,
    bar,
    diverged_text,
    hparam_text,
    hparams_text,
    metric_text,
    moment_text,
    number_text,
    search_text,
    seconds_text,
    short_names,
    sparkline,
    untrained_text,
)
from hpo.spec.reference.techniques import Listed
from hpo.spec.sections.goal import COSTS
from hpo.spec.words import count_text
from hpo.study.log.lineage import Lineage
from hpo.study.storage.verify import StudyCheck
from hpo.trial import HParams, TrialState

_FEW_TRIALS = 100  # for importance: below, fewer than ten make the best tenth
_STATUS_STYLES = {
    **dict.fromkeys(
        ("finished", "exhausted", "none_found", "target", "no_improvement", "epochs"), "green"
    ),
    "running": "cyan",
}


def studies_table(overviews: Sequence[Overview]) -> RenderableType:
    """A row for each study of a storage."""
    table = _table("study", "status", "trials", "epochs", "best", "", "began")
    for column in (2, 3, 5):
        table.columns[column].justify = "right"
    for study in overviews:
        table.add_row(
            Text(study.name, "bold"),
            _status(study.status),
            f"{study.trials:,} of {study.trials_total:,}",
            f"{study.epochs:,}",
            study.objective.partition(" ")[2],
            number_text(study.best.value if study.best else None),
            moment_text(study.created_ms),
        )
    return table


def techniques_table(techniques: Sequence[Listed]) -> RenderableType:
    """A row for each technique, with the models for which its cost was measured."""
    models = list(dict.fromkeys(model for each in techniques for model in each.cost))
    table = _table("technique", "place", *models, "paper")
    table.columns[-1].overflow = "fold"
    for number in range(len(models)):
        table.columns[2 + number].justify = "right"
    for each in techniques:
        costs = [f"{each.cost[model]:+.0f} %" if model in each.cost else "" for model in models]
        table.add_row(Text(each.name, "bold"), each.place, *costs, each.paper)
    return table


def study_view(report: StudyReport) -> RenderableType:
    """Everything about one study, section by section."""
    return Group(*_sections(report))


def states_line(states: Mapping[TrialState, int]) -> rich.text.Text:
    """The trials by state in their colours: `8 running  9 complete`."""
    parts = [
        Text(f"{states[state]:,} {state}", style)
        for state, style in STATE_STYLES.items()
        if states.get(state)
    ]
    return Text("  ").join(parts) if parts else Text("none yet", "dim")


def hparams_table(hparams: HParams) -> Table:
    """A row for each hparam of a trial."""
    table = Table.grid(padding=(0, 2))
    for path, value in hparams.items():
        table.add_row(Text(path, "dim"), Text(hparam_text(value), overflow="fold"))
    return table


def ancestry_table(lineage: Lineage) -> Table:
    """The trials that trained a line of weights, from which epoch on and with which hparams."""
    paths = list(lineage[0].hparams)
    names = short_names(paths)
    table = _table("from epoch", "trial", *(names[path] for path in paths))
    for column in table.columns[:2]:
        column.justify = "right"
    for segment in lineage:
        values = (hparam_text(segment.hparams[path]) for path in paths)
        table.add_row(str(segment.after + 1), str(segment.trial), *values)
    return table


def baselines_view(
    results: Sequence[BaselineResult], study: str, *, with_test: bool
) -> Iterator[RenderableType]:
    """Baselines with their metrics, on test rows too if asked for, and what to know of them."""
    judged = [one for one in results if one.value is not None]
    names = [*judged[0].metrics] if judged else []
    has_test = with_test and any(one.test for one in judged)
    tests = [f"test {name}" for name in names] if has_test else []
    table = _table(*names, *tests, "baseline, untuned", "")
    for column in table.columns[: len(names) + len(tests)]:
        column.justify = "right"
    for column in table.columns:
        column.no_wrap = True
    for one in judged:
        figures = [number_text(one.metrics.get(name)) for name in names]
        figures += [number_text(one.test.get(name)) for name in names] if has_test else []
        style = "bold yellow" if one.is_better else ""
        first, *others = figures
        table.add_row(Text(first, style), *others, Text(one.name), Text(one.setting, "dim"))
    if judged:
        yield table
    if judged and judged[0].is_better:
        yield Text(f"{judged[0]} is better than the best trial, without any tuning.", "yellow")
    if judged and judged[0].rows < judged[0].rows_of:
        rows = f"{judged[0].rows:,} of {count_text(judged[0].rows_of, 'training row')}"
        yield Text(f"Baselines are fitted to {rows}.", "dim")
    for one in results:
        if one.trouble:
            yield Text(f"{one} failed: {one.trouble}", "dim")
    if cut := Counter(one.name for one in results if one.is_cut):
        kinds = (f"{name} ({count})" if count > 1 else name for name, count in cut.items())
        cure = f"`hpo resume {study}`, or search.baselines: 5m"
        yield Text(f"No time was left for {', '.join(kinds)}: {cure}.", "dim")


def _sections(report: StudyReport) -> Iterator[RenderableType]:
    study = report.overview
    yield Text.assemble((study.name, "bold"), "  ", _status(study.status))
    yield _indented(_facts(report))
    yield from _best(report)
    if report.baselines:
        yield _heading("baselines")
        yield from map(_indented, baselines_view(report.baselines, study.name, with_test=True))
    if report.front is not None:
        yield _heading(front_title(report.front))
        yield _indented(front_view(report.front))
    if report.top:
        of_constraints = "constraints, then by " if report.constraints else ""
        yield _heading(f"best trials (trained in full first, then by {of_constraints}epochs)")
        yield _indented(_TrialsTable(report.metric, report.top))
    if techniques := list(effects_view(report.effects, report.metric)):
        yield _heading("techniques")
        yield from map(_indented, techniques)
    yield _heading("importance")
    yield _indented(_importance(report))


def _facts(report: StudyReport) -> Table:
    study = report.overview
    facts = Table.grid(padding=(0, 2))
    each = count_text(report.epochs_each, "epoch")
    runs = count_text(len(report.runs), "run")
    are_processes = report.programs is None
    programs = "" if report.programs is None else f"{count_text(report.programs, 'program')}, "
    lost = diverged_text(study.states, study.name, are_processes=are_processes)
    rows: list[tuple[str, str | rich.text.Text]] = [
        ("objective", f"{study.objective} after {each}"),
        *((("constraints", ", ".join(report.constraints)),) if report.constraints else ()),
        *((("stops", report.stop),) if report.stop else ()),
        ("search", search_text(report.sampler, report.scheduler)),
        *((kind, f"{getattr(report, kind)}: {text}") for kind, text in report.picked.items()),
        (
            "trials",
            Text(f"{study.trials:,} of {study.trials_total:,}:  ") + states_line(study.states),
        ),
        (
            "trained",
            f"{count_text(study.epochs, 'epoch')} in {seconds_text(report.seconds)}, "
            f"{programs}{runs}",
        ),
        *((("energy", f"{report.joules:,.0f} J in training"),) if report.joules else ()),
        *((("privacy", str(report.privacy)),) if report.privacy else ()),
        ("began", moment_text(study.created_ms)),
    ]
    if report.driver:
        rows.append(("driven by", report.driver))
    if report.runs:
        rows.append(("device", report.runs[-1].device))
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    rows += [("versions", versions)] if versions else []
    for run in report.runs:
        rows += [("noted", Text(difference, "yellow")) for difference in run.differences]
    rows += [("noted", Text(note)) for note in report.notes]
    rows += [("noted", Text(lost, "yellow"))] if lost else []
    for title, text in rows:
        facts.add_row(Text(title, "dim"), text)
    return facts


def _best(report: StudyReport) -> Iterator[RenderableType]:
    trial = report.curve_of
    if trial is None:
        yield _heading(_without_result({*report.overview.states}))
        if report.untrained is not None:
            yield _indented(Text(untrained_text(report.untrained), "yellow"))
        return
    title = "best trial" if report.overview.best else "leading trial"
    short = "" if report.overview.best else f"{trial.epochs:,} of "
    reached = f"{short}{count_text(report.epochs_each if short else trial.epochs, 'epoch')}"
    yield _heading(f"{title}: {trial.number}")
    is_maximized = report.overview.objective.startswith("maximize")
    best = max(report.curve) if is_maximized else min(report.curve)
    yield _indented(
        Text.assemble(
            f"{report.metric} ",
            (number_text(trial.value), "bold green"),
            _deviation(trial),
            f" after {reached}",
        )
    )
    yield _indented(
        Text.assemble(
            (sparkline(report.curve), "green"),
            (
                f"  {number_text(report.curve[0])} to {number_text(report.curve[-1])}, "
                f"at best {number_text(best)} (epoch {report.curve.index(best) + 1})",
                "dim",
            ),
        )
    )
    costs = [
        f"{name} {metric_text(name, trial.metrics[name])}"
        for name in COSTS
        if name in trial.metrics
    ]
    if costs:
        yield _indented(Text(", ".join(costs), "dim"))
    if report.overview.best and (text := fit_text(report.fit)):
        yield _indented(Text(text, "dim"))
    if trial.violation > 0:
        yield _indented(Text("breaks the constraints", "yellow"))
    if len(report.lineage) > 1:
        yield _indented(ancestry_table(report.lineage))
    else:
        yield _indented(hparams_table(trial.hparams))


def trial_view(report: TrialReport) -> RenderableType:
    """A trial: its result, its hparams, its curve, and the norms of its gradient by layer."""
    trial = report.trial
    state = Text(str(trial.state), STATE_STYLES[trial.state])
    parts: list[RenderableType] = [
        _heading(f"trial {trial.number}"),
        _indented(Text.assemble(state, f" after {count_text(trial.epochs, 'epoch')}")),
    ]
    metrics = {name: value for name, value in trial.metrics.items() if "/" not in name}
    rows = Table.grid(padding=(0, 2))
    for name, value in metrics.items():
        rows.add_row(Text(name, "dim"), metric_text(name, value))
    parts += [_indented(rows), _indented(hparams_table(trial.hparams))]
    if report.curve:
        curve = Text.assemble((report.metric, "dim"), "  ", (sparkline(report.curve), "green"))
        parts.append(_indented(curve))
    if report.norms:
        table = _table("layer", "first epoch", "last epoch", "mean norms of the gradient")
        for name, norms in report.norms.items():
            ends = number_text(norms[0]), number_text(norms[-1])
            table.add_row(name, *ends, Text(sparkline(norms), "green"))
        parts.append(_indented(table))
    return Group(*parts)


def _without_result(states: Set[TrialState]) -> str:
    if states == {TrialState.INFEASIBLE}:
        return "no trial was trained"
    if states == {TrialState.DIVERGED}:
        return "every trial has diverged"
    if states == {TrialState.DIVERGED, TrialState.INFEASIBLE}:
        return "every trial has diverged or broken the constraints before training"
    return "no trial has a result yet"


def _importance(report: StudyReport) -> RenderableType:
    importance = report.importance
    if importance.skipped:
        return Text(f"skipped: {importance.skipped}", "dim")
    table = Table.grid(padding=(0, 2))
    for path, share in importance.shares.items():
        table.add_row(Text(path, "dim"), f"{share:4.0%}", Text(bar(share), "cyan"))
    return Group(
        table,
        Text(
            f"PED-ANOVA over {count_text(importance.trials, 'trial')} after "
            f"{count_text(importance.epochs, 'epoch')}{_caution(importance.trials)}",
            "dim",
        ),
    )


def _caution(trials: int) -> str:
    """That the shares of few trials are rough: PED-ANOVA looks at their best tenth."""
    if trials >= _FEW_TRIALS:
        return ""
    return f": a rough hint, because the best tenth of them are {count_text(trials // 10, 'trial')}"


class _TrialsTable:
    """Trials with a column for each hparam, or with one for all where that is too wide."""

    def __init__(self, metric: str, trials: Sequence[TrialResult]) -> None:
        self._metric, self._trials = metric, trials

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._wide()
        fits = Measurement.get(console, options.update_width(10_000), wide).maximum
        yield wide if fits <= options.max_width else self._narrow()

    def _wide(self) -> Table:
        paths = list(dict.fromkeys(path for trial in self._trials for path in trial.hparams))
        names = short_names(paths)
        table = self._start(*(names[path] for path in paths))
        for trial in self._trials:
            hparams = [
                hparam_text(trial.hparams[path]) if path in trial.hparams else "-" for path in paths
            ]
            table.add_row(*self._row(trial), *hparams)
        return table

    def _narrow(self) -> Table:
        table = self._start("hparams")
        for trial in self._trials:
            hparams = Text(hparams_text(trial.hparams), overflow="fold")
            table.add_row(*self._row(trial), hparams)
        return table

    def _start(self, *more: str) -> Table:
        table = _table("epochs", self._metric, "trial", "state", *more)
        for column in table.columns[:3]:
            column.justify = "right"
        for column in table.columns[:4]:
            column.no_wrap = True
        return table

    def _row(self, trial: TrialResult) -> tuple[str | rich.text.Text, ...]:
        return (
            str(trial.epochs),
            Text.assemble((number_text(trial.value), "bold"), (_deviation(trial), "dim")),
            str(trial.number),
            Text(str(trial.state), STATE_STYLES[trial.state]),
        )


def _deviation(trial: TrialResult) -> str:
    """The standard deviation among a trial's runs: ` \u00b1 0.0042`; nothing with one."""
    return "" if trial.deviation is None else f" \u00b1 {number_text(trial.deviation)}"


def _table(*columns: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="dim",
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for column in columns:
        table.add_column(column)
    return table


def _heading(text: str) -> Text:
    return Text(f"\n{text}", "bold")


def _indented(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, 2), expand=False)


def _status(status: str) -> Text:
    return Text(status, _STATUS_STYLES.get(status, "yellow"))


def check_view(check: StudyCheck) -> RenderableType:
    """A row for each part of a study's files: whether it is sound, and what was checked."""
    table = _table("checked", "", "")
    for part in check.parts:
        is_sound = part.damage is None
        word = Text("sound", "green") if is_sound else Text("damaged", "red")
        table.add_row(Text(part.name), word, Text(part.checked if is_sound else str(part.damage)))
    return table
