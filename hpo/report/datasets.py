"""The data sets that a spec can name: what `hpo data` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from rich import box
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from hpo.data.cache import Usage
from hpo.data.download import DOWNLOADS
from hpo.registry import DATASETS
from hpo.report.console import Text
from hpo.spec.words import count_text


@dataclass(frozen=True)
class NamedDataset:
    """A data set by name; `path` is where it is, or None if it is not on this machine.

    `task` is "table" for a CSV file, whose task is that of the column a spec names as its target.
    `download_bytes` is None for one that comes with scikit-learn.
    """

    name: str
    task: str
    is_here: bool
    path: str | None
    download_bytes: int | None


def known_datasets(home: Path | None) -> tuple[NamedDataset, ...]:
    """Every data set that a spec can name or `hpo data get` fetch; `home` is their folder."""
    return tuple(_dataset(name, home) for name in sorted({*DATASETS, *DOWNLOADS}))


def as_rows(datasets: Sequence[NamedDataset]) -> list[dict[str, Any]]:
    """Data sets as plain values."""
    return [asdict(dataset) for dataset in datasets]


def datasets_table(datasets: Sequence[NamedDataset]) -> RenderableType:
    """A row for each data set."""
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for column in ("data set", "task", "where"):
        table.add_column(column)
    for dataset in datasets:
        table.add_row(Text(dataset.name, "bold"), dataset.task, _where(dataset))
    return table


def usage_text(usage: Usage) -> str:
    """How much a cache of data sets holds: `2 preprocessed data sets, 55.1 MB`."""
    return f"{count_text(usage.entries, 'preprocessed data set')}, {usage.total_bytes / 1e6:.1f} MB"


def downloads_text(names: Sequence[str], total_bytes: int) -> str:
    """How much was downloaded: `2 downloads (mnist, fashion_mnist), 42.5 MB`."""
    listed = f" ({', '.join(names)})" if names else ""
    return f"{count_text(len(names), 'download')}{listed}, {total_bytes / 1e6:.1f} MB"


class DownloadDisplay:
    """A bar over the bytes of a download; a line for each tenth where there is no terminal."""

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name, self._tenth = console, name, 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            expand=True,
        )
        self._task = self._progress.add_task(name, total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def watch(self, done_bytes: int, total_bytes: int) -> None:
        """Show how many bytes have arrived."""
        self._progress.update(self._task, completed=done_bytes, total=total_bytes)
        tenth = 10 * done_bytes // total_bytes
        if self._progress.disable and tenth > self._tenth:
            self._tenth = tenth
            megabytes = f"{done_bytes / 1e6:.1f} of {total_bytes / 1e6:.1f} MB"
            self._console.print(Text(f"{self._name}: {megabytes}"), soft_wrap=True)


def _dataset(name: str, home: Path | None) -> NamedDataset:
    download = DOWNLOADS.get(name)
    if download is None:
        return NamedDataset(name, DATASETS[name].tasks[0], True, None, None)
    kind = "text" if download.files[0].name.endswith(".txt") else "table"
    task = DATASETS[name].tasks[0] if name in DATASETS else kind
    size = sum(file.size_bytes for file in download.files)
    folder = home / name if home else None
    is_here = folder is not None and folder.is_dir() and any(folder.iterdir())
    path = str(folder) if is_here else None
    return NamedDataset(name, task, is_here, path, size)


def _where(dataset: NamedDataset) -> Text:
    if dataset.path is not None:
        return Text(dataset.path)
    if dataset.download_bytes is None:
        return Text("comes with scikit-learn", "dim")
    megabytes = dataset.download_bytes / 1e6
    return Text(f"hpo data get {dataset.name} ({megabytes:.0f} MB)", "yellow")
