"""Writes columns of answers: CSV, JSON lines or Parquet, piece by piece."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from hpo.errors import HpoError

Columns = Mapping[str, np.ndarray]
STDOUT = Path("-")


def check_columns_out(path: Path, *, are_masks: bool) -> None:
    """Refuse a format that does not hold the answers for rows.

    Raises:
        HpoError: for masks in another file than one of arrays, and for a text file.
    """
    if are_masks and path.suffix.lower() != ".npz":
        raise HpoError(f"-o {path}: the answers are masks, which are arrays: give -o masks.npz.")
    if path != STDOUT and path.suffix.lower() not in _WRITERS:
        raise HpoError(f"-o {path}: the answers are columns: end it in {', '.join(_WRITERS)}.")


def check_text_out(path: Path) -> None:
    """Refuse a format that holds no text.

    Raises:
        HpoError: for another ending than .txt.
    """
    if path not in (STDOUT, path.with_suffix(".txt")):
        raise HpoError(f"-o {path}: the model writes a text: end it in .txt.")


def check_out(path: Path, *, replace: bool, endings: Sequence[str]) -> None:
    """Refuse a place for answers before anything is read for it.

    Raises:
        HpoError: for a URL, an ending that says no format, or a file that exists without `replace`.
    """
    if path == STDOUT:
        return
    check_here(path)
    if path.suffix.lower() not in endings:
        raise HpoError(
            f"-o {path}: its name says no format: end it in {', '.join(endings)}, or give - for "
            "standard output."
        )
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise HpoError(f"-o {path}: cannot be written there: give a file in a folder that exists.")
    if path.exists() and not replace:
        raise HpoError(f"-o {path}: exists: give another name, or --force to replace it.")


def check_here(path: Path) -> None:
    """Refuse a URL, whose slashes are one in a path.

    Raises:
        HpoError: for a URL.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise HpoError("-o: a URL cannot be written here: give a path, then copy what it holds.")


def write_answers(path: Path, pieces: Iterable[Columns]) -> None:
    """Write the answers to a file, or as CSV to standard output.

    The file appears when it is whole.

    Raises:
        HpoError: if it cannot be written; no part of it is then left behind.
    """
    if path == STDOUT:
        for number, piece in enumerate(pieces):
            sys.stdout.write(_csv(piece, with_names=not number))
        return
    partial = path.with_name(f".{path.name}.partial")
    try:
        _WRITERS[path.suffix.lower()](partial, pieces)
        partial.replace(path)
    except OSError as error:
        raise HpoError(f"-o {path}: cannot be written ({error.strerror}): give another.") from None
    finally:
        with suppress(OSError):
            partial.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text to a file, or to standard output.

    Raises:
        HpoError: if it cannot be written.
    """
    if path == STDOUT:
        sys.stdout.write(f"{text}\n")
        return
    try:
        path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    except OSError as error:
        raise HpoError(f"-o {path}: cannot be written ({error.strerror}): give another.") from None


def _write_csv(path: Path, pieces: Iterable[Columns]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as out:
        for number, piece in enumerate(pieces):
            out.write(_csv(piece, with_names=not number))


def _csv(piece: Columns, *, with_names: bool) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    if with_names:
        writer.writerow(piece)
    writer.writerows(zip(*(column.tolist() for column in piece.values()), strict=True))
    return out.getvalue()


def _write_jsonl(path: Path, pieces: Iterable[Columns]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for piece in pieces:
            columns = [column.tolist() for column in piece.values()]
            for row in zip(*columns, strict=True):
                out.write(json.dumps(dict(zip(piece, row, strict=True))) + "\n")


def _write_parquet(path: Path, pieces: Iterable[Columns]) -> None:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise HpoError(
            f"-o {path}: Parquet needs pyarrow, which is not installed: run `pip install "
            "'hpo-lanes[parquet]'`, or write .csv."
        ) from None
    with ExitStack() as opened:
        writer: Any = None
        for piece in pieces:
            table = arrow.table({name: arrow.array(column) for name, column in piece.items()})
            if writer is None:
                writer = opened.enter_context(parquet.ParquetWriter(path, table.schema))
            writer.write_table(table)


def _write_npz(path: Path, pieces: Iterable[Columns]) -> None:
    parts = [*pieces]
    with zipfile.ZipFile(path, "w") as archive:  # numpy.savez takes no array named `file`
        for name in parts[0]:
            array = np.concatenate([part[name] for part in parts])
            # Texts as NumPy has them: an array of objects would be a pickle.
            plain = array.astype(str) if array.dtype == object else array
            with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                np.lib.format.write_array(out, plain, allow_pickle=False)


_WRITERS: Mapping[str, Callable[[Path, Iterable[Columns]], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
    ".npz": _write_npz,
}
ENDINGS = tuple(_WRITERS)
