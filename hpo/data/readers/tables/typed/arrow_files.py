"""Arrow files, and folders of them as `save_to_disk` of the package `datasets` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hpo.data.head import Head
from hpo.data.readers.tables.typed.arrow import check_types, put_batch, pyarrow, told
from hpo.data.readers.tables.typed.building import TableBuilder
from hpo.data.readers.tables.typed.files import TypedFile, head_of_files, read_typed
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec

_FILE_MAGIC = b"ARROW1"
# Folders of the splits of a `DatasetDict`, as `datasets` names them.
_SPLITS = {"validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


def read_arrow(path: Path, section: DataSpec) -> Source:
    """The examples of `data.dataset: {arrow: ...}`, with the splits that a folder has of its own.

    Raises:
        DataError: if a file is broken or unfit.
    """
    return read_typed(train_of(path), _with_splits(path, section), typed_files)


def head(path: Path, section: DataSpec) -> Head:
    """What the schemas of the files say.

    Raises:
        DataError: if a file is broken or unfit.
    """
    return head_of_files(path, section, typed_files(train_of(path)))


def files(path: Path) -> list[Path]:
    """The file, or the Arrow files in the folder and those below it, sorted by their paths."""
    if path.is_file():
        return [path]
    return [file for file in sorted(path.rglob("*.arrow")) if file.is_file()]


def train_of(path: Path) -> Path:
    """The folder of the training split, or the path itself where there is none."""
    return path / "train" if (path / "train").is_dir() else path


def _with_splits(path: Path, section: DataSpec) -> DataSpec:
    """The section with the folders of the other splits, if the data set has some."""
    if not (path / "train").is_dir():
        return section
    found = {
        name: str(path / folder)
        for name, folders in _SPLITS.items()
        for folder in folders
        if (path / folder).is_dir() and name not in section.dataset.own_splits
    }
    return section.model_copy(update={"dataset": section.dataset.model_copy(update=found)})


def typed_files(path: Path) -> list[TypedFile]:
    found = files(path)
    if not found:
        raise DataError(f"{path}: holds no Arrow file: correct the path.")
    return [_typed_file(file) for file in found]


def _typed_file(path: Path) -> TypedFile:
    rows, names = 0, []
    with told(path, "Arrow"), _opened(path) as (schema, batches):
        names = schema.names
        for batch in batches:
            rows += batch.num_rows
    return TypedFile(path, rows, tuple(names), partial(_put, path), partial(_check, path))


def _check(path: Path, names: Sequence[str]) -> None:
    """Refuse columns that are no cells."""
    with told(path, "Arrow"), _opened(path) as (schema, _):
        check_types(path, schema, names)


def _put(path: Path, builder: TableBuilder, start: int, names: Sequence[str]) -> None:
    with told(path, "Arrow"), _opened(path) as (schema, batches):
        labels = _class_names(schema)
        for batch in batches:
            batch.validate(full=True)  # nothing may point outside of the file
            put_batch(builder, start, _named(batch, labels), names)
            start += batch.num_rows


def named_batches(path: Path) -> Iterator[Any]:
    """The record batches of a file, whose labels have their names.

    Raises:
        DataError: for a broken file.
    """
    with told(path, "Arrow"), _opened(path) as (schema, batches):
        labels = _class_names(schema)
        for batch in batches:
            batch.validate(full=True)
            yield _named(batch, labels)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Iterator[Any]]]:
    """The schema and the batches of a file, in the format of files or that of streams."""
    pa = pyarrow()
    with path.open("rb") as stream:
        is_file = stream.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    with pa.memory_map(str(path)) as mapped:
        if is_file:
            reader = pa.ipc.open_file(mapped)
            yield reader.schema, (reader.get_batch(n) for n in range(reader.num_record_batches))
        else:
            reader = pa.ipc.open_stream(mapped)
            yield reader.schema, iter(reader)


def _class_names(schema: Any) -> Mapping[str, list[str]]:
    """The names of the classes of each column that `datasets` keeps as numbers."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: [str(label) for label in one["names"]]
            for name, one in found.items()
            if isinstance(one, dict) and one.get("_type") == "ClassLabel"
        }
    except (LookupError, TypeError, ValueError, RecursionError):
        return {}


def _named(batch: Any, labels: Mapping[str, list[str]]) -> Any:
    """A batch with the names of classes in the place of their numbers."""
    pa = pyarrow()
    for name, names in labels.items():
        place = batch.schema.get_field_index(name)
        if place < 0 or not pa.types.is_integer(batch.schema.field(place).type):
            continue
        numbers = batch.column(place).cast(pa.int32())
        is_known = pa.compute.and_(
            pa.compute.greater_equal(numbers, 0), pa.compute.less(numbers, len(names))
        )
        known = pa.compute.if_else(is_known, numbers, pa.scalar(None, pa.int32()))
        coded = pa.DictionaryArray.from_arrays(known, pa.array(names, pa.string()))
        batch = batch.set_column(place, name, coded)
    return batch
