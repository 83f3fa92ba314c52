"""What a user sees while a study trains: a live display, or lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

import rich.text
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table

from hpo.report.console import Text
from hpo.report.tables import states_line
from hpo.report.wording import (
    clock_text,
    hparams_text,
    number_text,
    of_all_text,
    speed_text,
    states_text,
)
from hpo.spec.sections.goal import Objective
from hpo.spec.words import count_text
from hpo.study.progress import Progress
from hpo.trial import Trial, TrialState

_REFRESHES_A_SECOND = 10
_LINE_SECONDS = 10.0
_LINE_SHARE = 0.05  # of the time so far: a long study needs fewer lines
_PACE_SHARE = 0.05  # of the work: earlier, compile time hides the pace


class Display(Protocol):
    """Shows progress from `__enter__` to `__exit__`; `say` prints a message."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def watch(self, progress: Progress) -> None: ...

    def say(self, sentence: str) -> None: ...


def display_for(console: Console, objective: Objective, *, is_quiet: bool = False) -> Display:
    """A live display on a terminal, lines elsewhere; only messages if `is_quiet`."""
    sign = objective.loss(1.0)
    if console.is_terminal and not console.is_dumb_terminal and not is_quiet:
        return LiveDisplay(console, sign)
    return LineDisplay(console, sign, is_quiet=is_quiet)


@dataclass(frozen=True)
class _Share:
    """How far a study is, in the unit that ends it."""

    done: int
    total: int
    unit: str

    @property
    def of_all(self) -> float:
        return min(self.done / self.total, 1.0) if self.total else 1.0


def share_of(progress: Progress) -> _Share:
    """Progress in epochs where their total is known, else in trials that have ended."""
    if progress.epochs_are_bound:
        return _Share(progress.finished, progress.trials, "trials")
    # A trial that diverges leaves some epochs out.
    unit = f"epochs{of_all_text(progress.budget)}"
    return _Share(progress.epochs, progress.epochs_total, unit)


class LiveDisplay:
    """A few lines at the bottom of a terminal, drawn ten times a second by a thread of Rich's."""

    def __init__(self, console: Console, sign: float) -> None:
        self._console, self._sign = console, sign
        self._progress: Progress | None = None
        self._start = self._told = time.monotonic()
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=_REFRESHES_A_SECOND,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def watch(self, progress: Progress) -> None:
        """Take the study's progress; the next refresh shows it."""
        self._progress, self._told = progress, time.monotonic()

    def say(self, sentence: str) -> None:
        """Print a message above the display."""
        self._console.print(Text(sentence, "yellow"), soft_wrap=True)
        # The next Ctrl-C may end the process at once, and must leave a visible cursor.
        self._console.show_cursor(True)

    def _render(self) -> RenderableType:
        if self._progress is None:
            return Text(f"starting ...  {clock_text(time.monotonic() - self._start)}", "dim")
        # A decision or a database may keep the study busy, and the clock still moves.
        since = time.monotonic() - self._told
        now = replace(self._progress, seconds=self._progress.seconds + since)
        return progress_view(now, self._sign)


def progress_view(progress: Progress, sign: float) -> RenderableType:
    """A study's progress in five lines, or more where the hparams of the best trial are long."""
    share = share_of(progress)
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(no_wrap=True)
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True, justify="right")
    bar.add_row(
        Text(progress.study, "bold"),
        ProgressBar(share.total, share.done),
        f"{share.of_all:.0%}  {share.done:,} of {share.total:,} {share.unit}",
    )
    trial = progress.best or progress.leader
    best = Text("-", "dim") if trial is None else _best_text(progress, trial, sign)
    lines = {
        progress.metric: best,
        "trials": _trials_line(progress),
        "speed": _speed_line(progress),
    }
    width = max(map(len, lines))
    # Not a table: it would fill the last line, where the terminal's own ^C starts a new one.
    first, *others = (_titled(title, text, width) for title, text in lines.items())
    hparams = "" if trial is None else hparams_text(trial.hparams)
    return Group(bar, _BestTrial(first, Text(hparams, "dim", overflow="fold"), width + 2), *others)


@dataclass(frozen=True)
class _BestTrial:
    """The line of the best trial; its hparams go below where they do not fit into it."""

    line: rich.text.Text
    hparams: rich.text.Text
    indent: int

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        together = self.line.copy().append_text(self.hparams)
        if together.cell_len <= options.max_width:
            yield together
            return
        yield self.line
        yield Padding(self.hparams, (0, 0, 0, self.indent), expand=False)


def _titled(title: str, text: rich.text.Text, width: int) -> rich.text.Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    return line.append(f"{title:{width}}  ", "dim").append_text(text)


def _best_text(progress: Progress, trial: Trial, sign: float) -> rich.text.Text:
    note = "" if progress.best else f" after {count_text(trial.epochs, 'epoch')}"
    return Text.assemble((_value(trial, sign), "bold green"), f"  trial {trial.number}{note}  ")


def _trials_line(progress: Progress) -> rich.text.Text:
    started = sum(progress.states.values())
    return Text(f"{started:,} of {progress.trials:,}  ") + states_line(progress.states)


def _speed_line(progress: Progress) -> rich.text.Text:
    if progress.is_stopping:
        text = "stopping: waiting for this round to end ..."
        return Text.assemble((text, "yellow"), f"  {clock_text(progress.seconds)}")
    if progress.epochs_a_second <= 0:
        text = f"{_speedless(progress)} ..."
        return Text.assemble((text, "yellow"), f"  {clock_text(progress.seconds)}")
    has_pace = share_of(progress).of_all >= _PACE_SHARE
    left = progress.left_seconds if has_pace else None
    return Text(
        f"{speed_text(progress.epochs_a_second, is_at_once=progress.is_at_once)}  "
        + ("" if progress.programs is None else f"{count_text(progress.programs, 'program')}  ")
        + f"{clock_text(progress.seconds)} elapsed"
        + (f"  {clock_text(left)} left" if left is not None else "")
    )


class LineDisplay:
    """A line when the study starts, when the best improves, and every ten seconds or more."""

    def __init__(
        self,
        console: Console,
        sign: float,
        *,
        is_quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._sign, self._is_quiet, self._clock = console, sign, is_quiet, clock
        self._start = clock()
        self._last = self._start
        self._best: int | None = None
        self._has_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def watch(self, progress: Progress) -> None:
        """Print a line if it is time for one."""
        if self._is_quiet:
            return
        now = self._clock()
        best = progress.best.number if progress.best else None
        if not self._has_begun:
            self._has_begun = True
            self.say(f"{progress.study}: {count_text(progress.trials, 'trial')}")
        elif now - self._last >= max(_LINE_SECONDS, _LINE_SHARE * (now - self._start)) or (
            best != self._best and now - self._last >= 1
        ):
            self._last, self._best = now, best
            self.say(progress_line(progress, self._sign))

    def say(self, sentence: str) -> None:
        """Print a message on a line of its own."""
        self._console.print(Text(sentence), soft_wrap=True)


def progress_line(progress: Progress, sign: float) -> str:
    """A study's progress in one line without colours."""
    share = share_of(progress)
    parts = [
        f"{clock_text(progress.seconds)}  {share.done:,} of {share.total:,} {share.unit}",
        states_text(progress.states),
    ]
    trial = progress.best or progress.leader
    if progress.epochs_a_second <= 0:
        parts.append(_speedless(progress))
    elif trial is not None:
        word = "best" if progress.best else "leading"
        parts.append(f"{word} {progress.metric} {_value(trial, sign)} (trial {trial.number})")
        parts.append(speed_text(progress.epochs_a_second, is_at_once=progress.is_at_once))
    return "; ".join(parts)


def _speedless(progress: Progress) -> str:
    """What a study without a speed yet is doing."""
    is_lost = progress.epochs == 0 and progress.states.get(TrialState.DIVERGED, 0) > 0
    if progress.programs is None:
        return "running"
    return "no epoch finished yet" if is_lost else "compiling"


def _value(trial: Trial, sign: float) -> str:
    # Adding zero turns -0, the loss of a maximized 0, into 0.
    return number_text(sign * trial.losses[-1] + 0.0)
