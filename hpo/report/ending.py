"""What a run prints at its end: the result and the next commands."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

import rich.text
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from hpo.report.console import Text
from hpo.report.study_report import baseline_results
from hpo.report.tables import baselines_view, hparams_table, states_line
from hpo.report.wording import (
    diverged_text,
    metric_text,
    number_text,
    seconds_text,
    speed_text,
    untrained_text,
)
from hpo.spec.file.passwords import without_password
from hpo.spec.sections.search import SearchSpec
from hpo.spec.sections.study import StudySpec
from hpo.spec.words import count_text
from hpo.study.progress import Outcome, Progress
from hpo.trial import Trial

_ENDINGS = {
    "finished": "finished",
    "exhausted": "finished: every configuration of the space has been tried",
    "none_found": "finished: no other configuration allowed by the rules was found",
    "target": "finished: the target is reached",
    "no_improvement": "finished: no improvement",
    "epochs": "finished: its limit of epochs is reached",
    "interrupted": "interrupted, and saved",
    "timeout": "out of time, and saved",
    "failed": "failed",
}


def ending_view(outcome: Outcome, search: SearchSpec, storage: str) -> RenderableType:
    """How a run ended, its best trial and the next commands."""
    progress = outcome.progress
    parts: list[RenderableType] = [
        Text.assemble((progress.study, "bold"), f"  {_ENDINGS[outcome.reason]}"),
        _indented(_facts(progress)),
    ]
    trial = progress.best or progress.leader
    if trial is not None:
        parts += ["", *_winner(progress, trial, search)]
    if found := baseline_results(outcome.baselines, search.goal, progress.best):
        view = baselines_view(found, progress.study, with_test=False)
        parts += ["", *map(_indented, view)]
    if outcome.untrained is not None:
        text = untrained_text(outcome.untrained)
        parts += ["", _indented(Text(f"{text[0].upper()}{text[1:]}.", "yellow"))]
    lines = next_commands(outcome, storage, search.timeout)
    parts += ["", *(_indented(Text(line, "cyan")) for line in lines)]
    if outcome.set_aside:
        parts.append(_indented(Text(f"The old study is kept as {outcome.set_aside}.", "dim")))
    return Group(*parts)


def next_commands(outcome: Outcome, storage: str, timeout_seconds: float | None) -> Sequence[str]:
    """The next commands, ready to be typed."""
    study = outcome.progress.study
    where = (
        ""
        if storage == StudySpec().storage
        else f" --storage {shlex.quote(without_password(storage))}"
    )
    commands = [f"hpo show {study}{where}"]
    match outcome.reason:
        case "interrupted" | "failed":
            commands.insert(0, f"hpo resume {study}{where}")
        case "timeout":
            commands.insert(0, f"hpo resume {study}{where} --timeout {_twice(timeout_seconds)}")
    if outcome.progress.best is not None:
        commands.append(f"hpo export {study}{where} -o best.yaml")
    return commands


def _facts(progress: Progress) -> Table:
    facts = Table.grid(padding=(0, 2))
    trials = Text(f"{sum(progress.states.values()):,} of {progress.trials:,}:  ")
    rows: list[tuple[str, str | rich.text.Text]] = [
        ("trials", trials + states_line(progress.states))
    ]
    time = f"{seconds_text(progress.seconds)} in this run"
    if progress.epochs_a_second > 0:
        time += f", {speed_text(progress.epochs_a_second, is_at_once=progress.is_at_once)}"
    if progress.programs is not None and (progress.epochs_a_second > 0 or progress.programs > 0):
        time += f", {count_text(progress.programs, 'program')} compiled"
    rows += [] if progress.is_at_once else [("epochs", f"{progress.epochs:,}")]
    rows.append(("time", time))
    are_processes = progress.programs is None
    if lost := diverged_text(progress.states, progress.study, are_processes=are_processes):
        rows.append(("noted", Text(lost, "yellow")))
    for title, text in rows:
        facts.add_row(Text(title, "dim"), text)
    return facts


def _winner(progress: Progress, trial: Trial, search: SearchSpec) -> list[RenderableType]:
    word = "best" if progress.best is not None else "leading"
    value = search.goal.first.loss(trial.losses[-1]) + 0.0
    title = Text.assemble(
        f"{word} {progress.metric}  ",
        (number_text(value), "bold green"),
        f"  trial {trial.number} after {count_text(trial.trained, 'epoch')}",
    )
    others = zip(search.goal.objectives, trial.values, strict=False)
    for objective, loss in list(others)[1:]:
        title.append(
            f", {objective.metric} {metric_text(objective.metric, objective.loss(loss) + 0.0)}"
        )
    if trial.violation > 0:
        title.append(", breaks the constraints", "yellow")
    return [_indented(title), Padding(hparams_table(trial.hparams), (0, 0, 0, 4), expand=False)]


def _twice(timeout_seconds: float | None) -> str:
    seconds = math.ceil(2 * (timeout_seconds or 0))
    return f"{seconds}s" if seconds % 60 else f"{seconds // 60}m"


def _indented(renderable: RenderableType) -> Padding:
    return Padding(renderable, (0, 0, 0, 2), expand=False)
