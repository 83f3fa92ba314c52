"""Preprocessed data sets on disk, so that no run reads, splits and scales the same files twice.

An entry is a folder of `.npy` files. They are mapped into memory rather than read, so that a data
set may be larger than the memory. Its name is a hash of the source files' contents, of the spec's
`data` section, and of the version of the preprocessing. A damaged, full or read-only cache costs
time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hpo.data.dataset import SPLITS, DataSet, Split
from hpo.data.transform import FittedTransform
from hpo.spec.sections.data import DataSpec

# Raise it with every change to the results of reading, splitting or scaling.
VERSION = 2

# All entries together; the newest one is kept whatever its size.
_MOST_BYTES = 5 << 30
# Larger arrays are checked by shape and size alone, because a checksum would read all of them.
_MOST_BYTES_TO_CHECK = 1 << 30
_CLOCK_TICK_NS = 2 * 10**9  # of the coarsest file systems
_DESCRIPTION = "dataset.json"
_TRANSFORM = "transform."  # before the names of the arrays of the fit


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

        None if there is no cache, or if a file cannot be read: its reader will say why.
        """
        if self._folder is None:
            return None
        try:
            hashes = [(file.name, self._hash(file)) for file in files]
        except OSError:
            return None
        used = spec.model_dump(mode="json", exclude={"batch_size", "device_budget"})
        libraries = [metadata.version(name) for name in ("numpy", "pandas", "scikit-learn")]
        text = json.dumps([VERSION, libraries, hashes, used], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, key: str) -> DataSet | None:
        """The data set stored under `key`; None if there is none, or if it is damaged."""
        assert self._folder is not None
        folder = self._folder / key
        try:
            checksum, text = (folder / _DESCRIPTION).read_text().split("\n")
            if checksum != str(zlib.crc32(text.encode())):
                return None
            description = json.loads(text)
            arrays = {
                name: _mapped(folder / f"{name}.npy", known)
                for name, known in description.pop("arrays").items()
            }
            fit = {
                name.removeprefix(_TRANSFORM): arrays.pop(name)
                for name in [*arrays]
                if name.startswith(_TRANSFORM)
            }
            splits: dict[str, Any] = dict.fromkeys(SPLITS)
            for name, ends in description.pop("splits").items():
                splits[name] = Split(arrays, slice(*ends))
            transform = FittedTransform.from_arrays(fit)
            data = DataSet(**description, **splits, transform=transform)
        except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError):
            return None
        with suppress(OSError):
            os.utime(folder)  # marks the entry as used now
        return replace(data, classes=tuple(data.classes), notes=tuple(data.notes))

    def write(self, key: str, data: DataSet) -> None:
        """Store a data set; delete those unused for longest if the cache is too large."""
        assert self._folder is not None
        temporary = self._folder / f".{key}.{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            _write_entry(temporary, data)
            shutil.rmtree(self._folder / key, ignore_errors=True)
            temporary.replace(self._folder / key)
            self._make_room(key)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)

    def usage(self) -> Usage:
        """The number of data sets in the cache, and their bytes."""
        sizes = [_size(entry) for entry in self._entries()]
        return Usage(len(sizes), sum(sizes))

    def clear(self) -> Usage:
        """Delete everything, and return what the cache held."""
        usage = self.usage()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        return usage

    def _entries(self) -> list[Path]:
        """Finished entries, those unused for longest first."""
        if self._folder is None or not self._folder.is_dir():
            return []
        found = []
        for entry in self._folder.iterdir():
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
                shutil.rmtree(entry, ignore_errors=True)

    def _hash(self, file: Path) -> str:
        """The hash of a file's contents, from a note as long as its size and times are the same."""
        assert self._folder is not None
        status = file.stat()
        seen = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        name = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:32]
        note = self._folder / "files" / name
        with suppress(OSError, ValueError, LookupError, TypeError):
            noted = json.loads(note.read_text())
            # A file may change twice within a tick of its clock, so the note must be younger.
            is_younger = note.stat().st_mtime_ns - status.st_ctime_ns > _CLOCK_TICK_NS
            if noted[0] == seen and is_younger:
                return str(noted[1])
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            temporary = note.with_name(f".{name}.{os.getpid()}")
            temporary.write_text(json.dumps([seen, digest]))
            temporary.replace(note)
        return digest


def _write_entry(folder: Path, data: DataSet) -> None:
    arrays = dict(_arrays(data))
    needed = sum(array.nbytes for array in arrays.values())
    if shutil.disk_usage(folder).free < 2 * needed:
        raise OSError("the disk is nearly full")
    for name, array in arrays.items():
        with (folder / f"{name}.npy").open("wb") as out:
            np.save(out, array, allow_pickle=False)
            os.fsync(out.fileno())
    description: dict[str, Any] = {
        "task": data.task,
        "outputs": data.outputs,
        "fingerprint": data.fingerprint,
        "classes": data.classes,
        "notes": data.notes,
        "splits": _splits(data),
        "arrays": {
            name: [list(array.shape), array.dtype.str, _checksum(array)]
            for name, array in arrays.items()
        },
    }
    text = json.dumps(description)
    with (folder / _DESCRIPTION).open("w") as out:
        out.write(f"{zlib.crc32(text.encode())}\n{text}")
        out.flush()
        os.fsync(out.fileno())


def _arrays(data: DataSet) -> Iterator[tuple[str, np.ndarray]]:
    yield from data.train.shared.items()  # with the rows of every split
    for key, array in data.transform.to_arrays().items():
        yield f"{_TRANSFORM}{key}", array


def _splits(data: DataSet) -> dict[str, list[int]]:
    """The first row of each split, and the row after its last one."""
    found: dict[str, list[int]] = {}
    for name in SPLITS:
        split: Split | None = getattr(data, name)
        if split is not None:
            assert isinstance(split.rows, slice)
            found[name] = [split.rows.start, split.rows.stop]
    return found


def _mapped(path: Path, known: Sequence[Any]) -> np.ndarray:
    """The array in a file, mapped into memory.

    Raises:
        ValueError: if the array is not the one that was written.
    """
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    if [list(array.shape), array.dtype.str] != list(known[:2]):
        raise ValueError(f"{path}: is another array")
    if array.nbytes <= _MOST_BYTES_TO_CHECK and _checksum(array) != known[2]:
        raise ValueError(f"{path}: is damaged")
    return array


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)


def _size(entry: Path) -> int:
    with suppress(OSError):
        return sum(file.stat().st_size for file in entry.iterdir())
    return 0
