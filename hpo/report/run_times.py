"""Where the time of each run of a study went: `hpo show STUDY --times`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from hpo.report.console import Text
from hpo.report.wording import moment_text, seconds_text
from hpo.study.log.events import Start, Stop, Times
from hpo.study.storage.tables import Storage
from hpo.study.times import ACTIVITIES

_NOTE = (
    "Evaluation runs inside the compiled call of a round, so its time is an estimate. An evaluated "
    "row counts as one pass through the model, a row of a training step as three."
)


@dataclass(frozen=True)
class TimesOfRun:
    """A run: its start, its length and the seconds of each activity by thread.

    `is_whole` is false for a run that is running or was killed: its time after the last record is
    not known.
    """

    start_ms: int
    seconds: float
    is_whole: bool
    threads: Mapping[str, Mapping[str, float]]


def times_of_runs(storage: Storage, name: str) -> tuple[TimesOfRun, ...]:
    """The runs of the study of that name, oldest first; runs without recorded times are left out.

    Raises:
        StudyError: if there is no such study; the message lists those that there are.
    """
    record = storage.study(name)
    starts, times, whole = [], {}, set()
    for event in storage.events(record.id):
        match event.what:
            case Start():
                starts.append(event.time_ms)
            case Times() as found:
                times[len(starts) - 1] = found
            case Stop():
                whole.add(len(starts) - 1)
    return tuple(
        TimesOfRun(
            starts[i],
            max(sum(seconds.values()) for seconds in found.threads.values()),
            i in whole,
            found.threads,
        )
        for i, found in times.items()
    )


def as_json(runs: Sequence[TimesOfRun]) -> list[dict[str, Any]]:
    """The runs as plain values."""
    return [asdict(run) for run in runs]


def times_view(study: str, runs: Sequence[TimesOfRun]) -> RenderableType:
    """A table for each run: a column for each thread, which adds up to the run."""
    if not runs:
        return Text(f"{study}: no run has recorded its time yet.")
    parts: list[RenderableType] = []
    for run in runs:
        end = "" if run.is_whole else " up to its last record"
        parts.append(
            Text.assemble(
                (study, "bold"), f"  {moment_text(run.start_ms)}, {seconds_text(run.seconds)}{end}"
            )
        )
        parts += [Padding(_table(run), (0, 0, 0, 2), expand=False), ""]
    return Group(*parts, Text(_NOTE, "dim"))


def _table(run: TimesOfRun) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row("", *(Text(name, "dim", justify="right") for name in run.threads))
    for activity, words in ACTIVITIES.items():
        if any(activity in seconds for seconds in run.threads.values()):
            cells = (_cell(seconds.get(activity), run) for seconds in run.threads.values())
            table.add_row(Text(words, "dim"), *cells)
    return table


def _cell(seconds: float | None, run: TimesOfRun) -> Text:
    if seconds is None:
        return Text("-", "dim", justify="right")
    return Text(f"{seconds:.2f} s {seconds / run.seconds:4.0%}", justify="right")
