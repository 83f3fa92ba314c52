"""Writes the tables of an explanation into a folder."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from hpo.errors import HpoError
from hpo.trained.explain.attribution import Attribution
from hpo.trained.explain.findings import Explanation
from hpo.trained.explain.pictures import write_picture

# The heads of a table, and its lines.
_Table: TypeAlias = tuple[Sequence[str], Iterable[Sequence[Any]]]
_NAMES = (
    "importance",
    "attributions",
    "words",
    "worst",
    "windows",
    "confusion",
    "iou",
    "calibration",
    "passages",
    "tokens",
)
JSON_FILE = "explanation.json"


def check_folder(folder: Path, *, replace: bool) -> None:
    """Refuse a place for an explanation before anything is computed for it.

    Raises:
        HpoError: for a file in its place, or a folder with other files; for an earlier explanation
            without `replace`.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise HpoError(f"-o {folder}: is a file: give a folder.")
    if not any(folder.iterdir()):
        return
    if not (folder / JSON_FILE).is_file():
        raise HpoError(f"-o {folder}: holds other files: give a new or empty folder.")
    if not replace:
        raise HpoError(
            f"-o {folder}: holds an explanation: give another folder, or --force to replace it."
        )


def write_explanation(folder: Path, found: Explanation, plain: Mapping[str, Any]) -> str:
    """Write each table as CSV, pictures as PNG, and all numbers of `plain` as JSON.

    Returns what the user should know of pictures that are left out; empty for none.

    Raises:
        HpoError: if one cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_earlier(folder)
        for name, (heads, lines) in _tables(found).items():
            if not (lines := [*lines]):
                continue
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as out:
                writer = csv.writer(out, lineterminator="\n")
                writer.writerow(heads)
                writer.writerows(lines)
        text = json.dumps(plain, indent=2) + "\n"
        (folder / JSON_FILE).write_text(text, encoding="utf-8")
        if found.pictures and find_spec("PIL") is None:
            return (
                "No pictures are written: they need Pillow, which is not installed: run "
                "`pip install 'hpo-lanes[images]'`."
            )
        for row, pixels in found.pictures.items():
            (folder / "pictures").mkdir(exist_ok=True)
            write_picture(folder / "pictures" / f"row-{row}.png", pixels)
    except OSError as error:
        raise HpoError(
            f"-o {folder}: cannot be written ({error.strerror}): give another."
        ) from None
    return ""


def _remove_earlier(folder: Path) -> None:
    """Remove the tables and pictures of an explanation that is replaced, which may be others."""
    if (folder / JSON_FILE).is_file():
        tables = [folder / f"{name}.csv" for name in _NAMES]
        for file in (*tables, *folder.glob("pictures/row-*.png")):
            file.unlink(missing_ok=True)


def _tables(found: Explanation) -> dict[str, _Table]:
    """The tables by the names of their files; those without lines are not written."""
    tables: dict[str, _Table] = {
        "importance": (("column", "mean", "low", "high"), found.importance),
        "worst": (("row", "file", "loss", "truth", "answer"), found.worst),
        "tokens": (("token", "times", "wrong", "loss", "instead"), found.tokens),
        "calibration": (("low", "high", "rows", "chance", "accuracy"), found.calibration),
    }
    tables["words"] = (
        ("row", "column", "word", "part"),
        [
            (one.row, one.column, word, part)
            for one in found.words
            for word, part in zip(one.words, one.parts, strict=True)
        ],
    )
    tables["passages"] = (
        ("row", "mean", "place", "token", "loss", "answer"),
        [
            (one.row, one.loss, place, *values)
            for one in found.passages
            for place, values in enumerate(
                zip(one.tokens, one.losses, one.answers, strict=True), start=1
            )
        ],
    )
    if found.confusion is not None:
        counts = zip(found.classes, found.confusion.tolist(), strict=True)
        tables["confusion"] = (("class", *found.classes), [(name, *row) for name, row in counts])
    if found.overlaps:
        shares = [
            (name, "" if math.isnan(share) else share)
            for name, share in zip(found.classes, found.overlaps, strict=True)
        ]
        tables["iou"] = (("class", "iou"), shares)
    if found.windows:
        tables["windows"] = (
            ("row", "time", "error", "ahead", "truth", "forecast"),
            [
                (one.row, one.time, one.error, ahead, *values)
                for one in found.windows
                for ahead, values in enumerate(zip(one.truth, one.forecast, strict=True), start=1)
            ],
        )
    if found.windows and found.attribution is not None:
        tables["attributions"] = _step_parts(found, found.attribution)
    elif found.attribution is not None and found.places is not None:
        parts, rises = found.attribution.parts, found.attribution.rises
        rows = zip((found.places + 1).tolist(), rises.tolist(), parts.tolist(), strict=True)
        tables["attributions"] = (
            ("row", "rise", *found.attribution.names),
            [(row, rise, *own) for row, rise, own in rows],
        )
    return tables


def _step_parts(found: Explanation, attribution: Attribution) -> _Table:
    """A line for each step of the worst windows, which counts back from -1, the last one."""
    length = attribution.parts.shape[1]
    return (
        ("row", "time", "rise", "step", *attribution.names),
        [
            (window.row, window.time, rise, step - length, *parts[step].tolist())
            for window, rise, parts in zip(
                found.windows, attribution.rises.tolist(), attribution.parts, strict=True
            )
            for step in range(length)
        ],
    )
