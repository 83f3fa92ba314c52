"""Checkpoint files: a cache of trials' weights beside the database, never the truth.

A file is in the safetensors format, complete or absent, and never changes: its name holds part of
its hash. If a file is missing or broken, its trial is trained again from the start.

The folder may hold what others put there. Links are not followed, and only regular files with the
name of a checkpoint are read or deleted.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import numpy as np

from hpo.engine.stopwatch import Stopwatch
from hpo.errors import StudyError
from hpo.study.storage.database import database_path, parsed_url
from hpo.study.storage.safetensors import array_names, decoded, encoded, write_whole
from hpo.trial import Run

_LOG = logging.getLogger(__name__)

# The run, the epoch and the start of the hash: `3.1-27-1b4f0e98.safetensors`.
# How many characters of its hash the name of a file holds.
_SHORT = 8
_NAME = re.compile(r"[0-9]+(\.[0-9]+)*-[0-9]+-[0-9a-f]{8}\.safetensors")
_UNFINISHED = re.compile(rf"\.{_NAME.pattern}\.[0-9]+\.tmp")
_NO_CHECKPOINT = "it is not a checkpoint"
# To pass through a folder, a process need not be allowed to list it.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY


class CheckpointFolder:
    """The checkpoints of one study; the folder `path` is created for the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unreferenced: set[str] = set()  # saved by this process, not yet seen in a sweep

    @classmethod
    def beside(cls, url: str, study: str, kind: str = "checkpoints") -> CheckpointFolder:
        """The folder `<database>.checkpoints/<study>`; for a server, in the working directory.

        Of another `kind` it is `<database>.<kind>/<study>`.
        """
        database = parsed_url(url)
        file = database_path(database) or Path.cwd() / (database.database or "hpo")
        return cls(file.with_name(f"{file.name}.{kind}") / _folder_name(study))

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
        chunks = encoded(leaves)
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
        sha256 = digest.hexdigest()
        name = f"{run.key}-{epoch:d}-{sha256[:_SHORT]}.safetensors"
        assert _NAME.fullmatch(name), "a sweep finds it by its name"
        temporary = f".{name}.{os.getpid()}.tmp"
        self._unreferenced |= {name, temporary}
        try:
            with self._opened(makes=True) as folder:
                write_whole(temporary, name, chunks, folder)
        finally:
            self._unreferenced.discard(temporary)
        return name, sha256

    def load(self, name: str, sha256: str) -> dict[str, np.ndarray] | None:
        """The arrays of a checkpoint; None, with a logged reason, where it is missing or broken."""
        content, reason = self.read(name, sha256)
        if content is not None:
            try:
                return decoded(content)
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
        """The content of a checkpoint; None, and the reason, where it is missing or broken.

        `sha256` may be the start of its hash that its name holds.
        """
        try:
            content = self._read(name)
        except OSError as error:
            return None, error.strerror or str(error)
        except (ValueError, TypeError):
            return None, _NO_CHECKPOINT
        if len(sha256) < _SHORT or not hashlib.sha256(content).hexdigest().startswith(sha256):
            return None, "its content has changed"
        return content, ""

    def array_names(self, name: str) -> list[str]:
        """The names of the arrays of a checkpoint, by its head alone; none if it is broken."""
        broken = OSError, ValueError, TypeError, AttributeError, RecursionError
        with suppress(*broken), self._file(name) as file:
            return array_names(file)
        return []

    def names(self) -> list[str]:
        """The names of the checkpoints in the folder."""
        with suppress(OSError), self._opened() as folder:
            return sorted(filter(_NAME.fullmatch, os.listdir(folder)))  # noqa: PTH208
        return []

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
        """The content of a checkpoint; the errors are those of `_file`."""
        with self._file(name) as file:
            return bytearray(file.read())

    @contextmanager
    def _file(self, name: str) -> Iterator[IO[bytes]]:
        """A checkpoint, open to be read.

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
            yield file


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


def _folder_name(study: str) -> str:
    # A study's name may hold characters that a path must not; dots alone name another folder.
    name = quote(study, safe=" ()+,=@")
    return name.replace(".", "%2E") if not name.strip(".") else name


def _delete(name: str, folder: int) -> bool:
    """Delete a file in a folder if it is a checkpoint; whether it is gone."""
    if not (_NAME.fullmatch(name) or _UNFINISHED.fullmatch(name)):
        return False
    with suppress(OSError):
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
            return True
    return False
