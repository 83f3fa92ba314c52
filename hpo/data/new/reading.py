"""Reads a file of new data in the formats of `data.dataset`, by the ending of its name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from hpo.data.readers.tables.csv import csv_table
from hpo.data.readers.tables.examples import Table, same_texts
from hpo.data.readers.tables.typed import arrow_files, parquet
from hpo.data.readers.tables.typed.files import typed_table
from hpo.data.readers.tables.typed.jsonl import jsonl_table
from hpo.errors import DataError
from hpo.registry import READERS, load
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import DataSpec, TableFile

# The endings of each format of tables; a packed file has another one behind it.
ENDINGS = {
    "csv": (".csv", ".tsv", ".tab", ".txt"),
    "jsonl": (".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".feather"),
}
# Files of other programs, which would be read as text.
_NO_TABLES = (".json", ".npy", ".npz", ".ods", ".pickle", ".pkl", ".xls", ".xlsx", ".zip")
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_CURE = (
    f"give a file that ends in {', '.join(endings[0] for endings in ENDINGS.values())}, packed as "
    ".gz or not, or a folder of Parquet files"
)


def new_table(path: Path, like: DataSpec, texts: Collection[str]) -> Table:
    """The columns of a table of new data: of a file, or a folder of Parquet or Arrow files.

    A file in the format of the training data is read as theirs was: its separator, encoding and
    words for empty cells. The cells of the columns `texts` are texts, whatever they hold.

    Raises:
        DataError: for a file that is no table, or a broken one.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file: correct the path.")
    key = format_of(path, like)
    section = _section(path, key, like)
    with same_texts():
        if key == "csv":
            return csv_table(path, section, texts)
        if key == "jsonl":
            return jsonl_table(path, section)
        files_of = parquet.typed_files if key == "parquet" else arrow_files.typed_files
        return typed_table(path, section, files_of)


def format_of(path: Path, like: DataSpec) -> str:
    """The key of `data.dataset` for a table of new data, by its ending, or as in training.

    Raises:
        DataError: for a name that says no format.
    """
    own = like.dataset.key if isinstance(like.dataset, TableFile) else None
    if path.is_dir():
        return _format_of_folder(path, own)
    name = path.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    for key, endings in ENDINGS.items():
        if name.endswith(endings):
            return key
    if own is None or name.endswith(_NO_TABLES):
        raise DataError(f"{path}: its name says no format of a table: {_CURE}.")
    return own


def _format_of_folder(path: Path, own: str | None) -> str:
    """The format of the files in a folder; of several, that of the training.

    Raises:
        DataError: for a folder that is no table.
    """
    endings = {file.suffix.lower() for file in parquet.files(path)}
    found = [key for key in ("parquet", "arrow") if endings.intersection(ENDINGS[key])]
    # Files of the training's format may have names without an ending.
    if own in ("parquet", "arrow") and (own in found or not found):
        return own
    if not found:
        raise DataError(f"{path}: is a folder without Parquet or Arrow files: {_CURE}.")
    return found[0]


def _has_tabs(path: Path) -> bool:
    """Whether the name of a file says that tabs separate its cells."""
    return any(ending in (".tsv", ".tab") for ending in map(str.lower, path.suffixes))


def _section(path: Path, key: str, like: DataSpec) -> DataSpec:
    """The data section that reads a file whole: every column, and no target."""
    own: Any = like.dataset
    text = str(path.absolute())
    if not (isinstance(own, TableFile) and own.key == key):
        missing = own.missing if isinstance(own, TableFile) else ()
        own = load(READERS[key].spec).model_validate({key: text, "target": "-"})
        own = own.model_copy(update={"missing": missing})
    if key == "csv" and _has_tabs(path) and not _has_tabs(Path(own.path)):
        own = own.model_copy(update={"separator": "\t"})
    whole = {
        "target": (),
        "weight": None,
        "validation": None,
        "test": None,
        "time": None,
        "window": None,
        "drop": () if key == "csv" else own.drop,
    }
    section = {"split": None, "folds": None, "columns": Columns()}
    return like.model_copy(
        update={**section, "dataset": own.model_copy(update={key: text, **whole})}
    )
