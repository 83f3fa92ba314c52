"""Preprocessed data sets on disk, so that no run reads, splits and scales the same files twice.

An entry is a folder of `.npy` files. They are mapped into memory rather than read, so that a data
set may be larger than the memory. Its name is a hash of the source files' contents, of the spec's
`data` section, and of the version of the preprocessing. A damaged, full or read-only cache costs
time and nothing else. Other data would be a wrong result, so only folders and files are read that
no other user can have written (`hpo.own_files`). Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from hpo.data.dataset import SPLITS, DataSet, Split, of_folds, scale_of
from hpo.data.files import nests, packages
from hpo.data.text.extras import versions
from hpo.data.transforms.features import Features
from hpo.data.transforms.transform import FittedTransform
from hpo.own_files import (
    create_own,
    is_own,
    left_over,
    open_own,
    own_folder,
    read_own,
    say_unwritable,
    write_own,
)
from hpo.spec.sections.columns import Columns, Reduce, Text
from hpo.spec.sections.data import CsvFile, DataSpec, TableFile

# Raise it with every change to the results of reading, splitting or scaling.
VERSION = 2
# Raise it with every change to the notes about data, or to the ranges of columns that a fit keeps:
# earlier entries are then prepared again.
NOTES = 2

# All entries together; the newest one is kept whatever its size.
_MOST_BYTES = 5 << 30
# Larger arrays are checked by shape and size alone, because a checksum would read all of them.
_MOST_BYTES_TO_CHECK = 1 << 30
_CLOCK_TICK_NS = 2 * 10**9  # of the coarsest file systems
_DESCRIPTION = "dataset.json"
_TRANSFORM = "transform."  # before the names of the arrays of the fit
_ROWS = "rows."  # before the names of the rows of a split, where they are no slice
# What the folder holds: entries, unfinished ones, the notes of hashes, and copies of URLs.
_ENTRY = re.compile(r"\.?[0-9a-f]{64}(\..*)?|files|urls")


class Usage(NamedTuple):
    """The contents of a cache in numbers."""

    entries: int
    total_bytes: int


class DataCache:
    """Preprocessed data sets in a folder of the user's; without a folder it stores nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def key(self, spec: DataSpec, files: Sequence[Path]) -> str | None:
        """The name of the entry for these files and this spec.

        None if there is no cache, or if a file cannot be read or the package that reads it is not
        installed: its reader will say so.
        """
        folder = self._own()
        if folder is None:
            return None
        try:
            if nests(spec.dataset):
                hashes = [(str(file.resolve()), "") for file in files]
                hashes.append(("", _hash_of_all(files, folder)))
            else:
                hashes = [(file.name, _hash(file, folder)) for file in files]
        except OSError:
            return None
        # What is made of the prepared data is not in the cache.
        later = {"batch_size", "device_budget", "class_weight", "corrupt", "extra", "store"}
        used = spec.model_dump(mode="json", exclude=later)
        # A field that is newer than the first entries is in a name only where it is set.
        if spec.normalize != "whiten":
            del used["epsilon"]
        if spec.reduce == Reduce():
            del used["reduce"]
        for name in ("split", "folds", "clip", "target_range", "image_size"):
            if getattr(spec, name) is None:
                del used[name]
        if spec.columns == Columns():
            del used["columns"]
        if spec.columns == Columns() and spec.text == Text():
            del used["text"]
        for name in {"synonyms", "homophones"} - spec.text.files.keys():
            used.get("text", {}).pop(name, None)
        if isinstance(spec.dataset, TableFile):
            for name in ("validation", "test"):
                if getattr(spec.dataset, name) is None:
                    del used["dataset"][name]
        if isinstance(spec.dataset, CsvFile):
            for name, usual in (("encoding", "utf-8"), ("decimal", ".")):
                if getattr(spec.dataset, name) == usual:
                    del used["dataset"][name]
            for name in ("thousands", "units"):
                if not getattr(spec.dataset, name):
                    del used["dataset"][name]
            if spec.dataset.window is None:
                for name in ("time", "window", "horizon"):
                    del used["dataset"][name]
            if spec.dataset.drop_rows.rare_classes == 1:
                del used["dataset"]["drop_rows"]["rare_classes"]
            if not spec.dataset.drop_rows.duplicates:
                del used["dataset"]["drop_rows"]["duplicates"]
        used_by_all = ("numpy", "pandas", "scikit-learn")
        try:
            libraries = [metadata.version(name) for name in (*used_by_all, *packages(spec.dataset))]
        except metadata.PackageNotFoundError:
            return None
        libraries += versions(spec.text)
        text = json.dumps([VERSION, libraries, hashes, used], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, key: str) -> DataSet | None:
        """The data set stored under `key`; None if there is none, or if it is damaged."""
        own = self._own()
        if own is None:
            return None
        folder = own / key
        try:
            if not is_own(folder.lstat()):
                return None
            checksum, text = (read_own(folder / _DESCRIPTION) or b"").decode().split("\n")
            if checksum != _signed(key, text):
                return None
            description = json.loads(text)
            if description.pop("noted") != NOTES:
                return None
            arrays = {
                name: _mapped(folder / f"{name}.npy", known)
                for name, known in description.pop("arrays").items()
            }
            folds = description.pop("folds", [])
            found = [_data_set(description | fold, arrays) for fold in folds or [{}]]
            data = of_folds(found) if folds else found[0]
        except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError):
            return None
        with suppress(OSError):
            os.utime(folder)  # marks the entry as used now
        return data

    def write(self, key: str, data: DataSet) -> None:
        """Store a data set; delete those unused for longest if the cache is too large."""
        folder = self._own()
        if folder is None:
            return
        temporary = folder
        try:
            temporary = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=folder))
            _write_entry(temporary, key, data)
            _delete(folder / key)
            temporary.replace(folder / key)
            self._make_room(key)
        except OSError as error:
            if temporary != folder:
                _delete(temporary)
            say_unwritable(folder, error)

    def scratch(self) -> Path | None:
        """The folder for large arrays while a data set is prepared; None without a cache."""
        return self._own()

    def usage(self) -> Usage:
        """The number of data sets in the cache, and their bytes."""
        sizes = [_size(entry) for entry in self._entries()]
        return Usage(len(sizes), sum(sizes))

    def clear(self) -> Usage:
        """Delete every data set, and return what the cache held. Other files in its folder stay."""
        usage = self.usage()
        for entry in self._names():
            if _ENTRY.fullmatch(entry.name):
                _delete(entry)
        return usage

    def _own(self) -> Path | None:
        return self._folder and own_folder(self._folder)

    def _names(self) -> list[Path]:
        with suppress(OSError):
            return list(self._folder.iterdir()) if self._folder is not None else []
        return []

    def _entries(self) -> list[Path]:
        """Finished entries, those unused for longest first."""
        found = []
        for entry in self._names():
            with suppress(OSError):
                if (entry / _DESCRIPTION).is_file() and not entry.name.startswith("."):
                    found.append((entry.stat().st_mtime_ns, entry))
        return [entry for _, entry in sorted(found)]

    def _make_room(self, newest: str) -> None:
        entries = self._entries()
        total = sum(map(_size, entries))
        for entry in entries:
            if total > _MOST_BYTES and entry.name != newest:
                total -= _size(entry)
                _delete(entry)
        assert self._folder is not None
        for entry in left_over(self._folder):
            _delete(entry)


def _hash(file: Path, folder: Path) -> str:
    """The hash of a file's contents, from a note as long as its size and times are the same."""
    status = file.stat()
    return _noted(str(file.resolve()), _seen(status), status.st_ctime_ns, [file], folder)


def _hash_of_all(files: Sequence[Path], folder: Path) -> str:
    """The hash of the contents of many files, with one note for all of them."""
    found = [file.stat() for file in files]
    seen = hashlib.sha256(json.dumps([*map(_seen, found)]).encode()).hexdigest()
    changed = max((status.st_ctime_ns for status in found), default=0)
    about = "\0".join(str(file.resolve()) for file in files)
    return _noted(about, seen, changed, files, folder)


def _seen(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _noted(about: str, seen: Any, changed_ns: int, files: Sequence[Path], folder: Path) -> str:
    """The hash of the contents of files, from a note about them if it says what is seen now."""
    notes = own_folder(folder / "files")
    note = (notes or folder) / hashlib.sha256(about.encode()).hexdigest()[:32]
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        with open_own(note) as opened:
            noted, written = json.load(opened), os.fstat(opened.fileno()).st_mtime_ns
        # A file may change twice within a tick of its clock, so the note must be younger.
        if noted[0] == seen and written - changed_ns > _CLOCK_TICK_NS:
            return str(noted[1])
    digests = []
    for file in files:
        with file.open("rb") as content:
            digests.append(hashlib.file_digest(content, "sha256").hexdigest())
    joined = hashlib.sha256("".join(digests).encode()).hexdigest()
    digest = digests[0] if len(digests) == 1 else joined
    if notes is not None:
        write_own(note, json.dumps([seen, digest]).encode())
    return digest


def _write_entry(folder: Path, key: str, data: DataSet) -> None:
    arrays = dict(_arrays(data))
    needed = sum(array.nbytes for array in arrays.values())
    if shutil.disk_usage(folder).free < 2 * needed:
        raise OSError("the disk is nearly full")
    for name, array in arrays.items():
        with open(folder / f"{name}.npy", "wb", opener=create_own) as out:
            np.save(out, array, allow_pickle=False)
            os.fsync(out.fileno())
    description: dict[str, Any] = {
        "task": data.task,
        "outputs": data.outputs,
        "classes": data.classes,
        "noted": NOTES,
        **_own(data, 0),
        **({} if data.train.scale is None else {"is_scaled": False}),
        "arrays": {
            name: [list(array.shape), array.dtype.str, _checksum(array)]
            for name, array in arrays.items()
        },
    }
    if data.folds:
        description["folds"] = [
            {**_own(fold, number), "transform": f"{_TRANSFORM}{number}."}
            for number, fold in enumerate(data.folds)
        ]
    text = json.dumps(description)
    with open(folder / _DESCRIPTION, "w", opener=create_own) as out:
        out.write(f"{_signed(key, text)}\n{text}")
        out.flush()
        os.fsync(out.fileno())


def _arrays(data: DataSet) -> Iterator[tuple[str, np.ndarray]]:
    yield from data.train.shared.items()  # with the rows of every split of every fold
    for number, one in enumerate(data.members):
        prefix = f"{_TRANSFORM}{number}." if data.folds else _TRANSFORM
        for key, array in one.transform.to_arrays().items():
            yield f"{prefix}{key}", array
        for name in SPLITS:
            split: Split | None = getattr(one, name)
            if split is not None and isinstance(split.rows, np.ndarray):
                yield f"{_ROWS}{number}.{name}", split.rows


def _own(data: DataSet, number: int) -> dict[str, Any]:
    """What the fold of this number has of its own."""
    return {
        "fingerprint": data.fingerprint,
        "notes": data.notes,
        "features": data.features.to_plain(),
        "splits": _splits(data, number),
    }


def _data_set(description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> DataSet:
    """The data set, or the fold, of a description."""
    known = dict(description)
    prefix, places = known.pop("transform", _TRANSFORM), known.pop("splits")
    fit = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
    transform = FittedTransform.from_arrays(fit)
    scale = None if known.pop("is_scaled", True) else scale_of(transform)
    shared = {n: array for n, array in arrays.items() if not n.startswith((_TRANSFORM, _ROWS))}
    splits: dict[str, Any] = dict.fromkeys(SPLITS)
    for name, rows in places.items():
        own = arrays[rows] if isinstance(rows, str) else slice(*rows)
        splits[name] = Split(shared, own, scale)
    known |= {name: tuple(known[name]) for name in ("classes", "notes")}
    features = Features.from_plain(known.pop("features"))
    return DataSet(**known, **splits, transform=transform, features=features)


def _splits(data: DataSet, number: int) -> dict[str, list[int] | str]:
    """The first row of each split and the row after its last one, or the array of its rows."""
    found: dict[str, list[int] | str] = {}
    for name in SPLITS:
        split: Split | None = getattr(data, name)
        if split is not None:
            found[name] = f"{_ROWS}{number}.{name}"
            if isinstance(split.rows, slice):
                found[name] = [split.rows.start, split.rows.stop]
    return found


def _mapped(path: Path, known: Sequence[Any]) -> np.ndarray:
    """The array in a file, mapped into memory.

    Raises:
        ValueError: if the array is not the one that was written.
    """
    with open_own(path) as opened:
        version = np.lib.format.read_magic(opened)
        if version != (1, 0):
            raise ValueError(f"{path}: is of another version")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(opened)
        order: Literal["F", "C"] = "F" if is_fortran else "C"
        array: np.ndarray = np.memmap(opened, dtype, "r", opened.tell(), shape, order)
    if [list(array.shape), array.dtype.str] != list(known[:2]):
        raise ValueError(f"{path}: is another array")
    if array.nbytes <= _MOST_BYTES_TO_CHECK and _checksum(array) != known[2]:
        raise ValueError(f"{path}: is damaged")
    return array


def _signed(key: str, text: str) -> str:
    """The checksum of a description; the key is in it, so that no entry stands for another one."""
    return str(zlib.crc32(f"{key}\n{text}".encode()))


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)


def _delete(entry: Path) -> None:
    with suppress(OSError):
        if stat.S_ISDIR(entry.lstat().st_mode):
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()  # `rmtree` would wait for the writer of a pipe


def _size(entry: Path) -> int:
    with suppress(OSError):
        return sum(file.stat().st_size for file in entry.iterdir())
    return 0
