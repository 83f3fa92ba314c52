"""Answers for new rows with an exported model. It needs NumPy and onnxruntime alone.

From a shell: python predict.py new.csv -o answers.csv
From Python: `Model(folder).answers([{"age": "31", "city": "Oslo"}])`

A table is a CSV file in UTF-8 with a header and decimal points. Of a series, each window of rows
is answered, and a column of the answers has the time of its last row. Examples that are arrays are
the array x of a .npz file, or a .npy file. Masks are the array y of a .npz file.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import runpy
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

_TRUE, _FALSE = ("true", "t", "yes", "y", "on", "1"), ("false", "f", "no", "n", "off", "0")
_START = datetime(1970, 1, 1)
_MASKS = "y"  # as hpo names the class of each pixel


class RowError(ValueError):
    """A row that the model cannot take: `why`, and its place `at` among rows of cells."""

    def __init__(self, why: str, at: int | None = None) -> None:
        super().__init__(why if at is None else f"row {at + 1}: {why}")
        self.why, self.at = why, at


class Model:
    """An exported model: the files `model.onnx` and `schema.json` of a folder."""

    def __init__(self, folder: str | Path) -> None:
        import onnxruntime  # not at the top, so that a wrong file is told without it

        place = Path(folder)
        self.schema = json.loads((place / "schema.json").read_text(encoding="utf-8"))
        self._engine = onnxruntime.InferenceSession(
            str(place / "model.onnx"), engine_options(), providers=["CPUExecutionProvider"]
        )
        self._known = [(name, frozenset(values)) for name, values in self.schema["texts"]]
        # For each column, and each of the models that differ here, what no training row has.
        self._untrained = [[*map(frozenset, column)] for column in self.schema["untrained"]]
        self._new: list[tuple[Counter[int], dict[int, str]]] = [
            (Counter(), {}) for _ in self._untrained
        ]
        self._far: Counter[tuple[int, str]] = Counter()  # rows of a column that lie far out
        self._missing = frozenset(self.schema["missing"])
        self.series = self.schema["series"]  # None for rows that are answered one by one
        self.takes_arrays = bool(self.schema["type"]) and not self.series
        self._inputs = {one.name for one in self._engine.get_inputs()}
        self._texts = []
        if self.schema["text_inputs"]:
            made = runpy.run_path(str(place / "texts.py"))["text_input"]
            self._texts = [(one, made(one)) for one in self.schema["text_inputs"]]

    def answers(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """The columns of answers for rows of cells by the names of their columns.

        Rows of a series are in any order, and an answer is that of a window of them.

        Raises:
            RowError: for a column that is missing, or a cell that is not of its column's type; for
                a series with too few rows, or two of the same time.
        """
        if self.series:
            (found,) = self.forecasts([(self.cells(rows), self.times(rows))], max(1, len(rows)))
            return found
        return self.answers_of(self.cells(rows))

    def answers_of(self, cells: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The columns of answers for the `cells` of rows."""
        return self._columns(self.predict(cells))

    def forecasts(
        self, parts: Iterable[tuple[dict[str, np.ndarray], list[str]]], batch: int
    ) -> Iterator[dict[str, np.ndarray]]:
        """The columns of answers for a series, by the cells and times of its rows, in parts.

        Raises:
            RowError: for too few rows, or two of the same time.
        """
        found, texts, window = [], [], self.series["window"]
        for cells, times in parts:
            found.append(cells)
            texts += times
        if len(texts) < window:
            raise RowError(f"has {len(texts)} rows, and a window has {window}: give more rows")
        order = _in_order(texts, self.series["time"])
        whole = {name: np.concatenate([one[name] for one in found])[order] for name in found[0]}
        windows = {name: windows_of(one, window) for name, one in whole.items()}
        times = np.array(texts, object)[order][window - 1 :]
        for start in range(0, len(times), batch):
            some = {
                name: np.ascontiguousarray(one[start : start + batch])
                for name, one in windows.items()
            }
            beside = {self.series["time"]: times[start : start + batch]}
            yield beside | self._columns(self.predict(some))

    def answers_to(self, arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of answers for examples that are arrays.

        Raises:
            RowError: for examples of another shape.
        """
        if [*arrays.shape[1:]] != self.schema["shape"]:
            raise RowError(
                f"an example has the shape {[*arrays.shape[1:]]}, and the model takes "
                f"{self.schema['shape']}"
            )
        return self._columns(self.predict({"x": arrays}))

    def predict(self, cells: Mapping[str, np.ndarray]) -> np.ndarray:
        """The probabilities, or values in the unit of the target, `[rows, ..., K]`."""
        found: np.ndarray = self._engine.run(None, dict(cells))[0]
        return found

    def cells(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """The inputs of the model for rows of cells."""
        found: dict[str, np.ndarray] = {}
        if self.schema["numbers"]:
            columns = [
                [_number(self._cell(row, name, at), name, part, at) for at, row in enumerate(rows)]
                for name, part in self.schema["numbers"]
            ]
            found["numbers"] = np.array(columns, np.float64).T.copy()
        for fit, made in self._texts:
            cells = [self._cell(row, fit["column"], at) for at, row in enumerate(rows)]
            found[fit["input"]] = made([cell or fit["empty"] for cell in cells])
        if "texts" in self._inputs:
            texts = [
                [_category(self._cell(row, name, at), known) for at, row in enumerate(rows)]
                for name, known in self._known
            ]
            found["texts"] = np.array(texts, object).T.copy()
        if self.series:
            found["past"] = np.array([self._past(row, at) for at, row in enumerate(rows)])
        return found

    @property
    def columns(self) -> list[str]:
        """The columns that a table needs."""
        names = [*(name for name, _ in self.schema["numbers"]), *(name for name, _ in self._known)]
        more = [self.series["time"], self.series["target"]] if self.series else []
        return [*dict.fromkeys([*names, *more])]

    def see(self, rows: Sequence[Mapping[str, Any]], cells: Mapping[str, np.ndarray]) -> None:
        """Count what no training row has in rows, whose `cells` these are, for `notes`."""
        for place, ends in enumerate(self.schema["ranges"]):
            if ends:
                x, (low, high) = cells["numbers"][:, place], ends
                self._far[place, "below"] += int((x < 2 * low - high).sum())
                self._far[place, "above"] += int((x > 2 * high - low).sum())
        for (name, known), untrained, (counts, examples) in zip(
            self._known, self._untrained, self._new, strict=True
        ):
            for at, row in enumerate(rows if untrained else ()):
                text = self._cell(row, name, at)
                found = _category(text, known)
                for place, one in enumerate(untrained):
                    if text and (found not in known or found in one):
                        counts[place] += 1
                        examples.setdefault(place, text)

    def notes(self) -> list[str]:
        """A sentence for each column with new categories, or numbers far out, in the rows seen."""
        found = []
        for (name, _), (counts, examples) in zip(self._known, self._new, strict=True):
            for place in sorted(counts):
                rows = f"{counts[place]:,} row" + "s" * (counts[place] > 1)
                found.append(
                    f"column {name!r}: {rows} with a category that no training row has, such as "
                    f"{examples[place]!r}: predicted without it."
                )
        for (place, side), count in self._far.items():
            if count:
                (name, _), (low, high) = (self.schema[key][place] for key in ("numbers", "ranges"))
                rows = f"{count:,} row" + (" lies" if count == 1 else "s lie")
                found.append(
                    f"column {name!r}: {rows} far {side} the range of the training, {low:g} to "
                    f"{high:g}: check the unit of such numbers."
                )
        return [*dict.fromkeys(found)]

    def times(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """The time of each row of a series, as it is written.

        Raises:
            RowError: for an empty one.
        """
        name, found = self.series["time"], []
        for at, row in enumerate(rows):
            found.append(self._cell(row, name, at).strip())
            if not found[-1]:
                raise RowError(f"column {name!r} is empty, and each row of a series has a time", at)
        return found

    def _past(self, row: Mapping[str, Any], at: int) -> float:
        """The target of a row, which is an input of the forecasts after it."""
        name, ends = self.series["target"], self.series["range"]
        value = _number(self._cell(row, name, at), name, "number", at)
        if math.isnan(value):
            raise RowError(f"column {name!r} is empty, and a forecast needs its past values", at)
        if ends and not ends[0] <= value <= ends[1]:
            raise RowError(
                f"column {name!r} holds {value:g}, outside of {ends[0]} to {ends[1]}", at
            )
        return value

    def _cell(self, row: Mapping[str, Any], name: str, at: int) -> str:
        """The text of a cell, empty where its word says so."""
        if name not in row:
            raise RowError(f"has no column {name!r}, which the model needs", at)
        value = row[name]
        text = "" if value is None else str(value)
        return "" if text in self._missing else text

    def _columns(self, found: np.ndarray) -> dict[str, np.ndarray]:
        names, classes = self.schema["answers"], self.schema["classes"]
        thresholds = self.schema["thresholds"]
        if found.ndim > 2:
            return {_MASKS: np.array([*map(int, classes)], np.int32)[found.argmax(-1)]}
        if classes:
            place = found.argmax(-1)
            if thresholds and len(classes) == 2:
                place = (found[:, 1] > thresholds[0]).astype(int)
            chances = {f"{names[0]}_{name}": found[:, k] for k, name in enumerate(classes)}
            return {names[0]: np.array(classes, object)[place], **chances}
        if self.schema["task"] == "multilabel":
            labels = (found > (thresholds or 0.5)).astype(int)
            chances = {f"{name}_chance": found[:, k] for k, name in enumerate(names)}
            return {name: labels[:, k] for k, name in enumerate(names)} | chances
        return {name: found[:, k] for k, name in enumerate(names)}


def engine_options() -> Any:
    """Options of onnxruntime by which products of int8 are exact on every processor.

    Without VNNI, processors of x86 add two of them in 16 bits, which may cut the sum off. There
    onnxruntime can take slower instructions.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; a warning would not be the user's
    try:
        is_exact = "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        is_exact = False
    if not is_exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def windows_of(values: np.ndarray, window: int) -> np.ndarray:
    """The windows of rows `[rows, ...]`, one after each row: `[rows - window + 1, window, ...]`."""
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(values, window, axis=0), -1, 1)


def _in_order(texts: Sequence[str], name: str) -> np.ndarray:
    """The order of times, which are numbers or dates."""
    try:
        times = np.array([_finite(text) for text in texts])
    except ValueError:
        times = np.array([_time(text, name) for text in texts], "datetime64[us]")
    order = np.argsort(times, kind="stable")
    same = np.flatnonzero(times[order][1:] == times[order][:-1])
    if len(same):
        text = texts[order[same[0]]]
        raise RowError(f"two rows have the time {text!r}, and a series has one row for each time")
    return order


def _finite(text: str) -> float:
    if "_" in text or not math.isfinite(float(text)):
        raise ValueError
    return float(text)


def _time(text: str, name: str) -> datetime:
    try:
        return _in_utc(datetime.fromisoformat(text))
    except ValueError:
        kind = "a number, or a date like 2024-04-03, as in all rows"
        raise RowError(f"column {name!r} holds {text!r}, not {kind}") from None


def _number(text: str, name: str, part: str, at: int) -> float:
    """The number of a cell, NaN where it is empty."""
    if not text:
        return math.nan
    try:
        if part == "number":
            if "_" in text or not abs(float(text)) < 3.4028235677973366e38:
                raise ValueError
            return float(text)
        if part == "boolean":
            word = text.strip().casefold().removesuffix(".0")
            return float((*_FALSE, *_TRUE).index(word) >= len(_FALSE))
        return _part_of(datetime.fromisoformat(text.strip()), part)
    except ValueError:
        kind = {"number": "a number", "boolean": "true or false"}.get(
            part, "a date like 2024-04-03"
        )
        raise RowError(f"column {name!r} holds {text!r}, not {kind}", at) from None


def _in_utc(date: datetime) -> datetime:
    return date if date.tzinfo is None else date.astimezone(UTC).replace(tzinfo=None)


def _part_of(date: datetime, part: str) -> float:
    date = _in_utc(date)
    since = date - _START
    hours = (since.seconds + since.microseconds / 1e6) / 3600
    parts = {
        "days": since.days + hours / 24,
        "year": date.year,
        "month": date.month,
        "day": date.day,
        "weekday": date.weekday(),
        "hour": math.floor(hours),
    }
    return float(parts[part])


def _category(text: str, known: frozenset[str]) -> str:
    """A text as the model knows it: 3 for 3.0."""
    if text in known or "n" in text.lower() or "_" in text:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    plain = str(int(number)) if number.is_integer() else str(number)
    return plain if plain in known else text


def _pieces(model: Model, data: Path, batch: int) -> Iterator[dict[str, np.ndarray]]:
    """The answers for the rows of a file, `batch` at a time."""
    is_array = data.suffix in (".npz", ".npy")
    if is_array != model.takes_arrays:
        needed = (
            "a .npz or .npy file with arrays" if model.takes_arrays else "a .csv file with rows"
        )
        raise RowError(f"is no input of this model: give {needed}")
    if is_array:
        with data.open("rb") as file:
            read = np.load(file, allow_pickle=False)
            x = read["x"] if data.suffix == ".npz" else read
        x = np.ascontiguousarray(x, model.schema["type"])
        for start in range(0, len(x), batch):
            yield model.answers_to(x[start : start + batch])
        return
    with data.open(encoding="utf-8-sig", newline="") as lines:
        read_table = runpy.run_path(str(Path(__file__).with_name("tables.py")))["read_table"]
        names, rows = read_table(lines, model.schema["separator"])
        lacking = [repr(name) for name in model.columns if name not in names]
        if lacking:
            raise RowError(f"has no column {', '.join(lacking)}, which the model needs")

        def cells(some: list[dict[str, Any]]) -> dict[str, np.ndarray]:
            found = model.cells(some)
            model.see(some, found)
            return found

        if model.series:
            parts = _told(names, rows, batch, lambda some: (cells(some), model.times(some)))
            yield from model.forecasts(parts, batch)
        else:
            for one in _told(names, rows, batch, cells):
                yield model.answers_of(one)


def _told(
    names: Sequence[str],
    rows: Iterator[tuple[int, list[str]]],
    batch: int,
    read: Callable[[list[dict[str, Any]]], Any],
) -> Iterator[Any]:
    """What is read of the rows of a file, `batch` at a time; a wrong one is told by its line."""
    while some := [*islice(rows, batch)]:
        try:
            yield read([dict(zip(names, cells, strict=True)) for _, cells in some])
        except RowError as error:
            if error.at is None:
                raise
            raise RowError(f"line {some[error.at][0]}: {error.why}") from None


def main() -> None:
    """Answer for a file."""
    parser = argparse.ArgumentParser(description="Answers for new rows with an exported model.")
    parser.add_argument("data", type=Path, help="a .csv, .npz or .npy file")
    parser.add_argument(
        "-o", dest="out", default="-", help="CSV file to write, or .npz for masks; else stdout"
    )
    parser.add_argument("--batch", type=int, default=512, help="rows that the model takes at once")
    parser.add_argument("--force", action="store_true", help="replace the file of -o")
    asked = parser.parse_args()
    if asked.batch < 1:
        parser.error(f"--batch cannot be {asked.batch}: write 1 or more")
    _check_out(asked.out, is_replaced=asked.force)
    try:
        model = Model(Path(__file__).parent)
        pieces = _pieces(model, asked.data, asked.batch)
        if model.schema["task"] == "segmentation":
            if not asked.out.endswith(".npz"):
                parser.error("masks are an array: give -o FILE.npz")
            masks = [piece[_MASKS] for piece in pieces]
            _put(asked.out, lambda out: np.savez_compressed(out, y=np.concatenate(masks)))
        elif asked.out == "-":
            _write(pieces, sys.stdout)
            sys.stdout.flush()
        else:
            _put(asked.out, lambda out: _write_bytes(pieces, out))
    except BrokenPipeError:  # who reads has seen enough; Python would tell of what is left at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyError as error:
        _refuse(f"{asked.data} has no array {error}: give one that is named x")
    except ImportError as error:
        _refuse(f"{error}: pip install -r requirements.txt")
    except UnicodeDecodeError:
        _refuse(f"{asked.data}: is not UTF-8: save it as a CSV file in UTF-8")
    except OSError as error:
        _refuse(f"{error.filename or asked.data}: {error.strerror or error}")
    except (RowError, ValueError, csv.Error, zipfile.BadZipFile) as error:
        _refuse(f"{asked.data}: {error}")
    for note in model.notes():
        print(_visible(f"{asked.data}: {note}"), file=sys.stderr)


def _visible(text: str) -> str:
    """A text that does not steer the terminal, whatever the cells of a table hold."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _refuse(why: str) -> NoReturn:
    """End with a sentence, and the code of a mistake."""
    print(_visible(f"predict.py: {why}"), file=sys.stderr)
    sys.exit(2)


def _check_out(out: str, *, is_replaced: bool) -> None:
    """Refuse a file that cannot be written, or that exists unless it `is_replaced`."""
    path = Path(out)
    if out == "-":
        return
    if path.is_dir() or not path.absolute().parent.is_dir():
        _refuse(f"-o {out}: cannot be written there: give a file in a folder that exists")
    if path.exists() and not is_replaced:
        _refuse(f"-o {out}: exists: give another name, or --force to replace it")


def _put(out: str, write: Callable[[Any], object]) -> None:
    """Write a file that appears when it is whole."""
    path = Path(out)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_bytes(pieces: Iterator[dict[str, np.ndarray]], out: Any) -> None:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    _write(pieces, text)
    text.detach()


def _write(pieces: Iterator[dict[str, np.ndarray]], out: Any) -> None:
    writer = csv.writer(out, lineterminator="\n")
    for number, piece in enumerate(pieces):
        if not number:
            writer.writerow(piece)
        columns = (column.tolist() for column in piece.values())
        writer.writerows(zip(*columns, strict=True))


if __name__ == "__main__":
    main()
