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


def new_table(path: Path, like: DataSpec, texts: Collection[str]) -> Table:
    """The columns of a table of new data.

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
    name = path.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    for key, endings in ENDINGS.items():
        if name.endswith(endings):
            return key
    own = like.dataset.key if isinstance(like.dataset, TableFile) else None
    if (
        own is None
        or name.endswith(_NO_TABLES)
        or (path.is_dir() and own not in ("parquet", "arrow"))
    ):
        known = ", ".join(endings[0] for endings in ENDINGS.values())
        raise DataError(
            f"{path}: its name says no format of a table: give a file that ends in {known}."
        )
    return own


def _section(path: Path, key: str, like: DataSpec) -> DataSpec:
    """The data section that reads a file whole: every column, and no target."""
    own: Any = like.dataset
    text = str(path.absolute())
    if not (isinstance(own, TableFile) and own.key == key):
        missing = own.missing if isinstance(own, TableFile) else ()
        own = load(READERS[key].spec).model_validate({key: text, "target": "-"})
        own = own.model_copy(update={"missing": missing})
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
