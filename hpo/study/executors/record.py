"""The record of a command's trial: its results by epoch, in a file of its own folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpo.study.executors.results import Result

RESULTS = "results.jsonl"


def json_lines(file: Path) -> Iterator[Any]:
    """The values in a file of JSON lines, without a last one that is still being written.

    There are none where there is no file.
    """
    with suppress(FileNotFoundError):
        whole, _, _ = file.read_text().rpartition("\n")
        yield from map(json.loads, whole.splitlines())


class Record:
    """The results of a trial, kept so that a killed study repeats nothing that was reported.

    `total` is the number of epochs of a full trial.
    """

    def __init__(self, folder: Path, total: int) -> None:
        self.total = total
        self.epochs: list[Mapping[str, float]] = []
        self.seconds: list[float] = []
        self._base: int | None = None  # the number that the command gives its first epoch
        self._file = folder / RESULTS
        self._next = 1  # the epoch of the next result without a number
        self._goes_on = False
        # The first epoch that a command has named twice, and one beyond the last, in a sentence.
        self.repeated = self.beyond = ""
        self._read()

    @property
    def spent(self) -> float:
        """The seconds that the epochs took."""
        return sum(self.seconds)

    def begin(self, *, goes_on: bool) -> None:
        """A process starts: where it `goes_on`, its first result is that of the next epoch."""
        self._goes_on = goes_on
        self._next = len(self.epochs) + 1 if goes_on else 1

    def take(self, result: Result, seconds: float) -> str | None:
        """Note a result, and say what is wrong with its epoch.

        Epochs between the last one and this one get its values too. The first value of an epoch
        stands, and epochs beyond the last one do not count.
        """
        epoch = self._number(result.named)
        is_repeated = epoch < self._next and result.named is not None
        self._next = max(self._next, epoch + 1)
        if epoch > self.total:
            self.beyond = f"epoch {epoch} is beyond the last one ({self.total})"
            return f"{self.beyond}: it does not count."
        if epoch <= len(self.epochs):
            text = f"epoch {epoch} is reported again: its first value stands."
            # One that goes on may repeat the epoch after its checkpoint.
            if is_repeated and not self._goes_on:
                self.repeated = self.repeated or text
            return text if is_repeated else None
        missing = epoch - len(self.epochs)
        for _ in range(missing):
            self._add({"metrics": result.metrics, "seconds": round(seconds / missing, 6)})
        return None

    def end(self) -> None:
        """The command has ended by itself: its last result stands for the epochs that are left."""
        while self.epochs and len(self.epochs) < self.total:
            self._add({"metrics": self.epochs[-1], "seconds": 0.0})

    def _number(self, named: int | None) -> int:
        if named is None:
            return self._next
        if self._base is None:
            self._base = 0 if named == 0 else 1
            self._write({"base": self._base})
        return named + 1 - self._base

    def _add(self, entry: dict[str, Any]) -> None:
        self._write(entry)
        self._apply(entry)

    def _write(self, entry: dict[str, Any]) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def _apply(self, entry: dict[str, Any]) -> None:
        if "base" in entry:
            self._base = entry["base"]
        else:
            metrics = {name: float(value) for name, value in entry["metrics"].items()}
            self.seconds.append(float(entry["seconds"]))
            self.epochs.append(metrics)

    def _read(self) -> None:
        try:
            content = self._file.read_text()
        except FileNotFoundError:
            return
        # A last line without an end was being written when the process was killed.
        whole, _, _ = content.rpartition("\n")
        lines = whole.splitlines()
        for number, line in enumerate(lines):
            try:
                self._apply(json.loads(line))
            except (ValueError, TypeError, LookupError, AttributeError):
                lines = lines[:number]  # what follows a damaged line is trained again
                break
        if (kept := "".join(f"{line}\n" for line in lines)) != content:
            self._file.write_text(kept)
