"""What a server of a trained model answers: plain values in, plain values out; no network."""

from __future__ import annotations

import json
import math
import re
import threading
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from hpo.data.new.arrays import checked_arrays
from hpo.data.readers.tables.typed.jsonl import RepeatedKeyError, with_different_keys
from hpo.data.source import Source
from hpo.errors import DeviceError, HpoError
from hpo.spec.words import shown
from hpo.trained.ensembles.ensemble import Answering
from hpo.trained.predict import FRAME, NewData, answers, read_new
from hpo.trained.serving.turns import Answers, BusyError, Turns

# Rows of requests that share a call, so that none of them waits long.
_MOST_SHARED = 16
_MOST_CELLS = 10_000_000  # of a table of all rows and all names in them
_MOST_CELL = 1 << 20  # characters of a text in a cell
_MOST_VALUES = 100  # categories that the schema lists for a column
_DATES = ("days", "year", "month", "day", "weekday", "hour")
_YEAR_FIRST = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NAMES = {"number": "number", "boolean": "boolean"}
_EXAMPLES = {"number": 0.0, "boolean": True, "date": "2024-01-31", "text": "some words"}


class RequestError(HpoError):
    """A request that cannot be answered; `status` is the code of HTTP for it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Service:
    """Answers for rows with a model, one call at a time, and counts what it did.

    Requests that arrive together share a call; no answer depends on it.
    """

    def __init__(self, model: Answering, most_rows: int, patience_seconds: float) -> None:
        task = model.description.task
        if task == "language":
            raise HpoError(f"{model.folder}: goes on with texts, and hpo serve answers for rows.")
        self.model, self.most_rows = model, most_rows
        self.turns = Turns(self._answers, _MOST_SHARED, patience_seconds)
        self._counting = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._rows, self._calls, self._seconds = 0, 0, 0.0
        self._warm_up()

    def schema(self) -> dict[str, Any]:
        """The inputs of the model by name, its task and classes, and a row to try."""
        description = self.model.description
        features = description.features
        found: dict[str, Any] = {
            "task": description.task,
            "classes": [*description.classes],
            "targets": [*features.targets],
            "most_rows": self.most_rows,
        }
        if not features.is_table and self.model.series is None:
            zeros = np.zeros(features.shape, features.type).tolist()
            return {
                **found,
                "shape": [*features.shape],
                "type": features.type,
                "example": zeros,
            }
        columns: dict[str, dict[str, Any]] = {}
        for name, part in features.numbers:
            columns[name] = {"type": "date" if part in _DATES else _NAMES[part]}
        for name, values in features.texts:
            columns[name] = {"type": "text"}
            if values is not None:
                columns[name] = {"type": "category", "values": [*values[:_MOST_VALUES]]}
        if (series := self.model.series) is not None:
            columns[str(series.time)] = {"type": "date"}
            columns |= {target: {"type": "number"} for target in series.targets}
            found["window"] = series.window
        example = {
            name: one["values"][0] if one.get("values") else _EXAMPLES.get(one["type"], "")
            for name, one in columns.items()
        }
        return {**found, "columns": columns, "example": example}

    def predict(self, body: bytes) -> dict[str, Any]:
        """The answers for the rows of a JSON text: `{"rows": [...]}`, a list, or a single row.

        Raises:
            RequestError: for another text, or while the model is busy for too long.
        """
        rows = self._rows_of(body)
        try:
            found = self.turns.answers(rows, self._kind_of(rows))
        except BusyError:
            raise RequestError(
                503, "the model is busy: try again later, or send fewer rows."
            ) from None
        with self._counting:
            self._rows += len(found.rows)
        return {"answers": found.rows, "notes": found.notes}

    def _answers(self, rows: Sequence[Any]) -> Answers:
        """The answers for the rows of one or several requests, by one call of the model."""
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                new = self._read(rows)
                pieces = [*answers(self.model, new)]
        except RequestError:
            raise
        except UnicodeEncodeError:  # JSON may escape a half of a surrogate pair, such as "\\ud800"
            raise RequestError(
                422, "a text holds half a character, which has no bytes: send it whole."
            ) from None
        except DeviceError as error:
            raise RequestError(503, str(error)) from None
        except HpoError as error:
            raise RequestError(422, str(error).replace(FRAME, "the rows", 1)) from None
        found = [row for piece in pieces for row in _plain_rows(piece)]
        with self._counting:
            self._calls += 1
            self._seconds += time.monotonic() - start
        return Answers(found, [note.replace(FRAME, "the rows", 1) for note in new.notes])

    def _kind_of(self, rows: Sequence[Any]) -> Hashable:
        """What rows of several requests must share to be read as if each came alone.

        These are the names and the types of their cells; None for rows that depend on each other,
        and for many, which gain nothing.
        """
        if len(rows) > _MOST_SHARED or self.model.series is not None:
            return None
        features = self.model.description.features
        if not features.is_table:
            return "arrays"
        dates = {name for name, part in features.numbers if part in _DATES}
        kinds: defaultdict[str, set[type]] = defaultdict(set)
        for row in rows:
            if not isinstance(row, dict):
                return None
            for name, cell in row.items():
                kinds[name].add(type(cell))
                # Other rows show which of two numbers is the day, unless the year is first.
                if name in dates and cell is not None and not _YEAR_FIRST.match(str(cell)):
                    return None
        return frozenset((name, frozenset(types)) for name, types in kinds.items())

    def count(self, path: str, status: int) -> None:
        """Count a request that was answered."""
        with self._counting:
            self._requests[path, status] += 1

    def metrics(self) -> str:
        """What was counted, in the text format of Prometheus."""
        with self._counting:
            requests, rows, seconds = dict(self._requests), self._rows, self._seconds
            calls = self._calls
        lines = [
            "# HELP hpo_requests_total Requests by path and status.",
            "# TYPE hpo_requests_total counter",
            *(
                f'hpo_requests_total{{path="{path}",status="{status}"}} {count}'
                for (path, status), count in sorted(requests.items())
            ),
            "# HELP hpo_rows_total Rows that were answered.",
            "# TYPE hpo_rows_total counter",
            f"hpo_rows_total {rows}",
            "# HELP hpo_model_calls_total Calls of the model, each for one or several requests.",
            "# TYPE hpo_model_calls_total counter",
            f"hpo_model_calls_total {calls}",
            "# HELP hpo_model_seconds_total Seconds in calls of the model.",
            "# TYPE hpo_model_seconds_total counter",
            f"hpo_model_seconds_total {seconds:.6f}",
        ]
        return "\n".join(lines) + "\n"

    def _warm_up(self) -> None:
        """Compile the model, so that no request need wait for it."""
        schema = self.schema()
        count, row = schema.get("window", 1), schema["example"]
        rows = [row] * count
        if self.model.series is not None:  # every row has a time of its own
            rows = [{**row, str(self.model.series.time): place} for place in range(count)]
        with suppress(HpoError):  # a model whose example is none of its own answers all others
            self.predict(json.dumps({"rows": rows}).encode())
        self._rows, self._calls, self._seconds = 0, 0, 0.0

    def _rows_of(self, body: bytes) -> list[Any]:
        try:
            found = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            why = " ".join(str(error).split())
            raise RequestError(400, f"the body is no JSON ({why:.100}): send rows.") from None
        if isinstance(found, dict) and isinstance(found.get("rows"), list) and len(found) == 1:
            rows = found["rows"]
        else:
            rows = [found] if self._is_row(found) else found
        if not isinstance(rows, list) or not rows:
            raise RequestError(422, 'the body holds no row: send {"rows": [{"column": value}]}.')
        if len(rows) > self.most_rows:
            raise RequestError(
                413, f"{len(rows):,} rows are more than {self.most_rows:,}: send them in parts."
            )
        return rows

    def _is_row(self, found: Any) -> bool:
        features, depth = self.model.description.features, 0
        if features.is_table or self.model.series is not None:
            return isinstance(found, dict)
        while isinstance(found, list) and found:
            found, depth = found[0], depth + 1
        return depth == len(features.shape)

    def _read(self, rows: Sequence[Any]) -> NewData:
        features = self.model.description.features
        if not features.is_table and self.model.series is None:
            return NewData(_arrays(rows, self.model))
        import pandas as pd

        for place, row in enumerate(rows):
            _check_row(row, place + 1)
        names = dict.fromkeys(name for row in rows for name in row)
        if len(names) * len(rows) > _MOST_CELLS:
            raise RequestError(
                413, f"{len(rows):,} rows have {len(names):,} columns together: send fewer."
            )
        columns = {name: [row.get(name) for row in rows] for name in names}
        return read_new(self.model, pd.DataFrame(columns))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, each of whose names stands there once."""
    try:
        return with_different_keys(pairs)
    except RepeatedKeyError as error:
        raise RequestError(422, f"an object has {shown(str(error))} twice: send it once.") from None


def _check_row(row: Any, place: int) -> None:
    """Refuse a row that is not one plain value for each name.

    Raises:
        RequestError: with the row and the column.
    """
    if not isinstance(row, dict):
        raise RequestError(422, f"row {place} is no object: send a value by the name of a column.")
    for name, cell in row.items():
        if not isinstance(cell, str | int | float | bool | None) or len(str(cell)) > _MOST_CELL:
            raise RequestError(
                422, f"row {place}: column {shown(name)} holds no number, text, flag or null."
            )


def _arrays(rows: Sequence[Any], model: Answering) -> Source:
    features = model.description.features
    try:
        x = np.array(rows, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise RequestError(
            422, f"rows are no arrays of numbers of the shape {[*features.shape]}: correct them."
        ) from None
    if x.shape[1:] != features.shape:
        raise RequestError(
            422,
            f"an example has the shape {[*x.shape[1:]]}, and those of the training "
            f"{[*features.shape]}: send it with that.",
        )
    if features.type == "uint8":
        if x.size and ((x < 0) | (x > 255) | (x != np.floor(x))).any():
            raise RequestError(422, "pixels are whole numbers from 0 to 255: correct them.")
        x = x.astype(np.uint8)
    try:
        x = checked_arrays(x, features, "rows")
    except HpoError as error:
        raise RequestError(422, str(error)) from None
    return Source(x=x, y=np.zeros(len(x)), target="rows")


def _plain_rows(piece: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    columns = [[_plain(cell) for cell in column.tolist()] for column in piece.values()]
    return [dict(zip(piece, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(cell: Any) -> Any:
    # JSON has no NaN: null stands for it.
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
