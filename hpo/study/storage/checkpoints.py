"""Checkpoint files: a cache of trials' weights beside the database, never the truth.

A file is in the safetensors format, complete or absent, and never changes: its name holds part of
its hash. If a file is missing or broken, its trial is trained again from the start.

The folder may hold what others put there. Links are not followed, and only regular files with the
name of a checkpoint are read or deleted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import ml_dtypes
import numpy as np

from hpo.engine.stopwatch import Stopwatch
from hpo.errors import StudyError
from hpo.study.storage.database import database_path, parsed_url
from hpo.trial import Run

_LOG = logging.getLogger(__name__)

# The run, the epoch and the start of the hash: `3.1-27-1b4f0e98.safetensors`.
_NAME = re.compile(r"[0-9]+(\.[0-9]+)*-[0-9]+-[0-9a-f]{8}\.safetensors")
_UNFINISHED = re.compile(rf"\.{_NAME.pattern}\.[0-9]+\.tmp")
_NO_CHECKPOINT = "it is not a checkpoint"
# To pass through a folder, a process need not be allowed to list it.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY

_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


class CheckpointFolder:
    """The checkpoints of one study; the folder `path` is created for the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unreferenced: set[str] = set()  # saved by this process, not yet seen in a sweep

    @classmethod
    def beside(cls, url: str, study: str) -> CheckpointFolder:
        """The folder `<database>.checkpoints/<study>`; for a server, in the working directory."""
        database = parsed_url(url)
        file = database_path(database) or Path.cwd() / (database.database or "hpo")
        return cls(file.with_name(f"{file.name}.checkpoints") / _folder_name(study))

    def check(self) -> None:
        """Refuse links in the place of the folder: old checkpoints are deleted in it.

        Raises:
            StudyError: for a link.
        """
        for path in (self.path.parent, self.path):
            # Not the method of `Path`, which raises where the folder may not be entered.
            if os.path.islink(path):  # noqa: PTH114
                raise StudyError(
                    f"{path}: is a link, and hpo deletes old checkpoints there: remove the link, or"
                    " give --storage a database on the other disk."
                )

    def save(self, run: Run, epoch: int, leaves: Mapping[str, np.ndarray]) -> tuple[str, str]:
        """Write a run's arrays to disk; gives the file's name and its SHA-256.

        Raises:
            OSError: if the file cannot be written; nothing is left behind.
        """
        chunks = _encoded(leaves)
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
        sha256 = digest.hexdigest()
        name = f"{run.key}-{epoch:d}-{sha256[:8]}.safetensors"
        assert _NAME.fullmatch(name), "a sweep finds it by its name"
        temporary = f".{name}.{os.getpid()}.tmp"
        self._unreferenced |= {name, temporary}
        try:
            with self._opened(makes=True) as folder:
                _write(temporary, name, chunks, folder)
        finally:
            self._unreferenced.discard(temporary)
        return name, sha256

    def load(self, name: str, sha256: str) -> dict[str, np.ndarray] | None:
        """The arrays of a checkpoint; None, with a logged reason, where it is missing or broken."""
        content, reason = self.read(name, sha256)
        if content is not None:
            try:
                return _decoded(content)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                reason = _NO_CHECKPOINT
        _LOG.warning(
            "checkpoint %s/%s: %s; its trial is trained again from the start.",
            self.path,
            name,
            reason,
        )
        return None

    def read(self, name: str, sha256: str) -> tuple[bytearray | None, str]:
        """The content of a checkpoint; None, and the reason, where it is missing or broken."""
        try:
            content = self._read(name)
        except OSError as error:
            return None, error.strerror or str(error)
        except (ValueError, TypeError):
            return None, _NO_CHECKPOINT
        if hashlib.sha256(content).hexdigest() != sha256:
            return None, "its content has changed"
        return content, ""

    def sweep(self, referenced: Iterable[str]) -> int:
        """Delete the checkpoints that no event refers to; gives their number.

        A file that this process has saved stays until it was `referenced` once, because its event
        may not have reached the log yet. All that is not a checkpoint stays.
        """
        with suppress(OSError), self._opened() as folder:
            # Listed first, so that a file which the writer begins after this is left alone.
            names = os.listdir(folder)  # noqa: PTH208 - of a descriptor
            kept = set(referenced)
            self._unreferenced -= kept
            kept |= self._unreferenced
            return sum(_delete(name, folder) for name in names if name not in kept)
        return 0

    def clear(self) -> None:
        """Delete all checkpoints, once no trial will train again; the writer must be closed."""
        self._unreferenced.clear()
        self.sweep(())

    def set_aside(self, study: str) -> None:
        """Rename the folder as the study is renamed."""
        target = self.path.with_name(_folder_name(study))
        # Where another folder is in the way, the trials train again from their starts.
        with suppress(OSError):
            self.path.rename(target)
        self.path = target

    @contextmanager
    def _opened(self, *, makes: bool = False) -> Iterator[int]:
        """A descriptor of the folder, so that no link can take its place while it is used.

        Raises:
            OSError: if there is none, or a link in its place.
        """
        folder = os.open(self.path.parent.parent, _PASS)
        try:
            for name, flags in ((self.path.parent.name, _PASS), (self.path.name, os.O_RDONLY)):
                if makes:
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=folder)
                inner = os.open(name, flags | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    def _read(self, name: str) -> bytearray:
        """The content of a checkpoint.

        Raises:
            OSError: if it cannot be read, or is a link.
            ValueError: if its name is not a checkpoint's, or it is not a regular file.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(name)
        # A pipe without a writer would otherwise be waited for.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        with self._opened() as folder, os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(name)
            return bytearray(file.read())


class CheckpointWriter:
    """Saves checkpoints on a thread of its own; a full disk does not stop the study."""

    def __init__(self, folder: CheckpointFolder) -> None:
        self.folder = folder
        self.stopwatch = Stopwatch("idle")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hpo-checkpoints")

    def submit(
        self, run: Run, epoch: int, leaves: Mapping[str, np.ndarray]
    ) -> Future[tuple[str, str] | None]:
        """Save in the background; where that fails, it logs a warning and the future gives None."""
        return self._thread.submit(self._save, run, epoch, leaves)

    def close(self) -> None:
        """Wait for the checkpoints that are still being written."""
        self._thread.shutdown()

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _save(
        self, run: Run, epoch: int, leaves: Mapping[str, np.ndarray]
    ) -> tuple[str, str] | None:
        try:
            with self.stopwatch.during("checkpoints"):
                return self.folder.save(run, epoch, leaves)
        except OSError as error:
            _LOG.warning(
                "cannot write a checkpoint of trial %s to %s: %s; the study goes on without.",
                run.key,
                self.folder.path,
                error.strerror or error,
            )
            return None


def _encoded(leaves: Mapping[str, np.ndarray]) -> list[bytes]:
    header: dict[str, object] = {}
    chunks: list[bytes] = []
    start = 0
    for name, leaf in leaves.items():
        dtype = leaf.dtype.newbyteorder("<")
        content = leaf.astype(dtype, copy=False).tobytes()
        end = start + len(content)
        header[name] = {
            "dtype": _CODES[dtype],
            "shape": list(leaf.shape),
            "data_offsets": [start, end],
        }
        chunks.append(content)
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # aligns the data
    return [len(text).to_bytes(8, "little"), text, *chunks]


def _decoded(content: bytearray) -> dict[str, np.ndarray]:
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    leaves = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        data = memoryview(content)[8 + size + start : 8 + size + end]
        leaves[name] = np.frombuffer(data, _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return leaves


def _folder_name(study: str) -> str:
    # A study's name may hold characters that a path must not; dots alone name another folder.
    name = quote(study, safe=" ()+,=@")
    return name.replace(".", "%2E") if not name.strip(".") else name


def _write(temporary: str, name: str, chunks: list[bytes], folder: int) -> None:
    """Write a file under another name, then rename it.

    Raises:
        OSError: if it cannot be written; nothing is left behind.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with suppress(FileNotFoundError):  # left by a killed process of the same number
        os.unlink(temporary, dir_fd=folder)
    try:
        with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=folder), "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        # A rename is safely on disk only once its folder is synced.
        os.fsync(folder)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _delete(name: str, folder: int) -> bool:
    """Delete a file in a folder if it is a checkpoint; whether it is gone."""
    if not (_NAME.fullmatch(name) or _UNFINISHED.fullmatch(name)):
        return False
    with suppress(OSError):
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
            return True
    return False
