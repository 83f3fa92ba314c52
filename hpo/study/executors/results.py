"""Reads a command's results from the lines that it prints or writes. It imports little."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)\b"
_EPOCH = re.compile(r"\bepoch['\"]?\s*[=: ]\s*(\d+)(?:\.0+)?(?![\d.])", re.IGNORECASE)
_NAMED = re.compile(rf"(?<![\w.])([A-Za-z_][\w./-]*)['\"]?\s*[=:]\s*{_NUMBER}", re.I)
_MOST_SEARCHED = 2**16  # bytes of output that are searched for other names
_MOST_NAMES = 20
# A longer line is no result, and is not kept whole.
_LONGEST_LINE = 2**20


class Result(NamedTuple):
    """The metrics of an epoch; `named` is the number that the command gave it, if any."""

    named: int | None
    metrics: dict[str, float]


class ResultReader:
    """Finds results in the output of a command.

    An epoch ends with the line by which each of the `metrics` is known. A line may hold
    `val_loss=0.31`, be a JSON object with that key, or match the `pattern`, whose groups are named.
    """

    def __init__(self, metrics: Sequence[str], pattern: str | None = None) -> None:
        self._metrics = tuple(metrics)
        self._pattern = re.compile(pattern) if pattern else None
        self._names = tuple(name.encode() for name in metrics)
        self._values = {
            name: re.compile(rf"(?<![\w.]){re.escape(name)}['\"]?\s*[=:]\s*({_NUMBER})", re.I)
            for name in metrics
        }
        self.seen: list[str] = []  # names with a number behind them, in the first output
        self._searched = 0
        self._rest = b""
        self._found: dict[str, float] = {}
        self._named: int | None = None

    def feed(self, chunk: bytes) -> Iterator[Result]:
        """The results that end in the next bytes of output."""
        whole, newline, rest = chunk.rpartition(b"\n")
        text, self._rest = (self._rest + whole, rest) if newline else (b"", self._rest + chunk)
        self._rest = self._rest[:_LONGEST_LINE]
        if self._searched < _MOST_SEARCHED and text:
            self._searched += len(text)
            self._note_names(text[:_MOST_SEARCHED].decode(errors="replace"))
        # Looked for first, because a command may print a gigabyte without a result.
        if self._pattern is None and not any(name in text for name in self._names):
            return
        for line in text.splitlines():
            if (result := self._line(line.decode(errors="replace"))) is not None:
                yield result

    def finish(self) -> Iterator[Result]:
        """The result in a last line without an end."""
        yield from self.feed(b"\n" if self._rest else b"")

    def _note_names(self, text: str) -> None:
        names = dict.fromkeys([*self.seen, *_NAMED.findall(text)])
        self.seen = [*names][:_MOST_NAMES]

    def _line(self, line: str) -> Result | None:
        values, named = self._in_pattern(line) if self._pattern else self._in_line(line)
        self._named = self._named if named is None else named
        if not values:
            return None
        self._found |= values
        if any(name not in self._found for name in self._metrics):
            return None
        result = Result(self._named, {name: self._found[name] for name in self._metrics})
        self._found, self._named = {}, None
        return result

    def _in_pattern(self, line: str) -> tuple[dict[str, float], int | None]:
        assert self._pattern is not None
        found = self._pattern.search(line)
        return self._picked(found.groupdict()) if found else ({}, None)

    def _in_line(self, line: str) -> tuple[dict[str, float], int | None]:
        if line.lstrip().startswith("{"):
            try:
                read = json.loads(line)
            except ValueError:
                read = None
            if isinstance(read, dict):
                return self._picked(read)
        values = {
            name: float(found[-1])
            for name, pattern in self._values.items()
            if (found := pattern.findall(line))
        }
        epoch = _EPOCH.search(line) if values else None
        return values, int(epoch[1]) if epoch else None

    def _picked(self, read: Mapping[str, Any]) -> tuple[dict[str, float], int | None]:
        values = {
            name: number
            for name in self._metrics
            if (number := _number(read.get(name))) is not None
        }
        epoch = _number(read.get("epoch"))
        is_whole = epoch is not None and epoch == epoch // 1 and epoch >= 0
        return values, int(epoch) if epoch is not None and is_whole else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
