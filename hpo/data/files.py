"""The files of a data set: where they are, and their bytes, unpacked against a bound."""

from __future__ import annotations

import gzip
import stat
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from hpo.data.text.stop_words import named_files
from hpo.errors import DataError
from hpo.registry import DATASETS, READERS, Entry, load
from hpo.spec.code.own_data import OwnData
from hpo.spec.marks import Spec
from hpo.spec.sections.data import DataSpec
from hpo.spec.words import shown

# A packed file may hold this many bytes, or this many times its own size. Tables shrink to a third
# or a tenth, and seldom to a fortieth; only bombs and tables of zeros shrink more.
_ALWAYS_UNPACKED = 16 << 20
_MOST_TIMES = 50
# No packed byte stands for more than this (the limit of DEFLATE, RFC 1951).
_DEFLATE_TIMES = 1032
_PIECE = 1 << 20


class MissingDownloadError(DataError):
    """A data set that `hpo data get` can download, and that is not on this machine."""


def key_of(dataset: Spec) -> str:
    """The key below `data.dataset` that chose the reader: the first field of its spec."""
    return next(iter(type(dataset).model_fields))


def source_files(spec: DataSpec, folder: Path, home: Path | None) -> list[Path]:
    """The files on which the examples depend; none for a bundled set, which is not worth caching.

    Raises:
        DataError: if files of the user's own are missing.
    """
    found = _example_files(spec, folder, home)
    return [*found, *named_files(spec.text, folder)] if found else []


def _example_files(spec: DataSpec, folder: Path, home: Path | None) -> list[Path]:
    if isinstance(spec.dataset, OwnData):
        from hpo.data.readers.python import source_paths  # imports NumPy, which `hpo check` spares

        return source_paths(spec.dataset, folder)
    if isinstance(spec.dataset, str):
        entry, where = DATASETS.get(spec.dataset), home and home / spec.dataset
    else:
        entry, where = find_own(spec.dataset, folder, home)
    if entry is None or where is None:
        return []
    if entry.files:
        found: list[Path] = load(entry.files)(where)
        return found
    return [] if isinstance(spec.dataset, str) else [where]


def find_own(dataset: Spec, folder: Path, home: Path | None) -> tuple[Entry, Path]:
    """The reader of a user's own data set, and the path of its file or folder.

    Raises:
        MissingDownloadError: where the path is that of a data set to be downloaded.
        DataError: where there is no such file or folder.
    """
    key = key_of(dataset)
    path, entry = getattr(dataset, key), READERS[key]
    if isinstance(dataset, OwnData):
        return entry, folder  # its function finds the files
    try:
        return entry, _find(path, key, entry, folder, home)
    except (OSError, ValueError, RuntimeError) as error:
        # A name that is too long, a folder that may not be entered, `~nobody`, a null character.
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(
            f"data.dataset.{key}: {shown(path)} cannot be looked for ({reason}): correct the path."
        ) from None


def _find(path: str, key: str, entry: Entry, folder: Path, home: Path | None) -> Path:
    kind = "folder" if entry.files else "file"
    # Joining an absolute path gives that path.
    wanted = Path(path).expanduser()
    folders = [folder] if home is None or wanted.is_absolute() else [folder, home]
    for there in (start / wanted for start in folders):
        if kind == "folder" and _is(there, stat.S_ISDIR):
            return there
        if kind == "file" and wanted.name:
            for path_there in (there, there.with_name(f"{there.name}.gz")):
                if _is(path_there, stat.S_ISREG):
                    return path_there
    if wanted.parts and (name := wanted.parts[0]) in _downloads():
        raise MissingDownloadError(
            f"data.dataset: {path}: is not on this machine: run `hpo data get {name}`, or set "
            f"HPO_DATA to the folder that holds {name}/."
        )
    where = "" if wanted.is_absolute() else f" in {' or '.join(map(str, folders))}"
    raise DataError(
        f"data.dataset.{key}: there is no {kind} {shown(path)}{where}: "
        "correct the path, which starts at the spec's folder, then at HPO_DATA."
    )


def _is(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Whether there is a file of a kind; unlike `is_file` it raises where it cannot look."""
    try:
        return is_kind(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _downloads() -> Collection[str]:
    from hpo.data.download import DOWNLOADS  # imports a web client, which finding rarely needs

    return DOWNLOADS


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file as a stream, unpacked where its name ends in `.gz`.

    Raises:
        DataError: while the stream is read, for a file that cannot be read or unpacked.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield cast("BinaryIO", stream)
    except EOFError:
        raise DataError(
            f"{path}: is truncated: the gzip data end early. Download it again."
        ) from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: is a damaged gzip file ({error}). Download it again.") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror or error}. Check its permissions."
        ) from None


def most_bytes(path: Path) -> int:
    """The most bytes that a file can hold, unpacked."""
    return path.stat().st_size * (_DEFLATE_TIMES if path.suffix == ".gz" else 1)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked where its name ends in `.gz`.

    Raises:
        DataError: for a file that cannot be read, or unpacks to far more than a table does.
    """
    with opened(path) as stream:
        if path.suffix != ".gz":
            return stream.read()
        packed = path.stat().st_size
        most, pieces = max(_ALWAYS_UNPACKED, _MOST_TIMES * packed), bytearray()
        while piece := stream.read(_PIECE):
            pieces += piece
            if len(pieces) > most:
                raise DataError(
                    f"{path}: unpacks to more than {_MOST_TIMES} times its {packed:,} bytes, as "
                    "no table does: if you trust it, unpack it and name the unpacked file."
                )
        return bytes(pieces)
