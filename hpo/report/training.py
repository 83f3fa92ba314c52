"""What `hpo train` shows: progress by epoch, and the metrics at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table

from hpo.report.console import Text
from hpo.report.study_report import BaselineResult
from hpo.report.tables import baselines_view
from hpo.report.wording import clock_text, number_text, seconds_text, sparkline
from hpo.spec.words import count_text
from hpo.trained.save import Trained

if TYPE_CHECKING:
    from hpo.engine.pools.occupant import EpochReport  # imports JAX

_LINE_SECONDS = 10.0


class EpochDisplay:
    """A bar over the epochs with the latest metrics; lines where there is no terminal."""

    def __init__(self, console: Console, name: str, epochs: int, is_quiet: bool) -> None:
        self._console, self._name, self._epochs, self._is_quiet = console, name, epochs, is_quiet
        self._report: EpochReport | None = None
        self._start = self._last = time.monotonic()
        is_live = console.is_terminal and not console.is_dumb_terminal and not is_quiet
        self._live = (
            Live(
                console=console, get_renderable=self._render, refresh_per_second=10, transient=True
            )
            if is_live
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def watch(self, report: EpochReport) -> None:
        """Take the latest epoch."""
        self._report = report
        now = time.monotonic()
        if not self._live and not self._is_quiet and now - self._last >= _LINE_SECONDS:
            self._last = now
            text = metrics_text(report.metrics)
            self.say(f"{self._name}: epoch {report.epoch} of {self._epochs}; {text}")

    def say(self, sentence: str) -> None:
        """Print a message."""
        self._console.print(Text(sentence, "yellow" if self._live else ""), soft_wrap=True)
        if self._live:
            # The next Ctrl-C ends the process at once, and must leave a visible cursor.
            self._console.show_cursor(True)

    def _render(self) -> RenderableType:
        clock = clock_text(time.monotonic() - self._start)
        if self._report is None:
            return Text(f"{self._name}: compiling ...  {clock}", "dim")
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        line.add_row(
            Text(self._name, "bold"),
            ProgressBar(self._epochs, self._report.epoch),
            f"{self._report.epoch} of {count_text(self._epochs, 'epoch')}  {clock}",
        )
        return Group(line, Text(metrics_text(self._report.metrics), "dim"))


def metrics_text(metrics: Mapping[str, float]) -> str:
    """Metrics in a line: `accuracy 0.9833, loss 0.0712`."""
    shown = {name: value for name, value in metrics.items() if "/" not in name}  # without layers
    return ", ".join(f"{name} {number_text(value)}" for name, value in shown.items())


def trained_view(
    name: str, trained: Trained, folder: str, baselines: Sequence[BaselineResult] = ()
) -> RenderableType:
    """The metrics of each split, those of the study's baselines, and the folder of the model."""
    table = Table.grid(padding=(0, 2))
    names = list(trained.metrics["validation"] or ())
    table.add_row("", *(Text(metric, "dim", justify="right") for metric in names))
    for split, metrics in trained.metrics.items():
        if metrics is not None:
            values = (Text(number_text(metrics.get(metric)), justify="right") for metric in names)
            table.add_row(Text(split, "dim"), *values)
        deviations = trained.deviations.get(split)
        if deviations is not None:
            spread = (Text(number_text(deviations.get(m)), "dim", justify="right") for m in names)
            runs = "folds" if trained.has_folds else "seeds"
            table.add_row(Text(f"  \u00b1 among {runs}", "dim"), *spread)
    spark = sparkline([report.metrics[names[0]] for report in trained.curve])
    curve = Text.assemble((f"validation {names[0]}", "dim"), "  ", (spark, "green"))
    lines = [curve]
    for key, thresholds in trained.thresholds.items():
        seed = f" of seed {key}" if len(trained.thresholds) > 1 else ""
        chosen = ", ".join(map(number_text, thresholds))
        lines.append(Text.assemble((f"thresholds{seed}", "dim"), f"  {chosen}"))
    if trained.temperature is not None:
        split, errors = [one for one in trained.calibration.items() if one[1] is not None][-1]
        assert errors is not None
        text = (
            f"{number_text(trained.temperature)}: calibration error on {split} "
            f"{number_text(errors['tempered'])}, without it {number_text(errors['raw'])}"
        )
        lines.append(Text.assemble(("temperature", "dim"), f"  {text}"))
    transforms = "transforms, " if trained.has_folds else ""
    time_text = f"{count_text(len(trained.curve), 'epoch')} in {seconds_text(trained.seconds)}"
    return Group(
        Text.assemble((name, "bold"), f"  trained: {time_text}"),
        Padding(table, (0, 0, 0, 2), expand=False),
        Padding(Group(*lines), (0, 0, 0, 2), expand=False),
        *([""] if baselines else []),
        *(
            Padding(part, (0, 0, 0, 2), expand=False)
            for part in baselines_view(baselines, name, with_test=True)
        ),
        Text(f"\n  {folder}/ holds weights, {transforms}metrics.json and spec.yaml."),
    )
