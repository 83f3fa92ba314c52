"""The files of a data set: where they are, and their bytes, unpacked against a bound."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from hpo.errors import DataError
from hpo.registry import DATASETS, READERS, Entry, load
from hpo.spec.code.own_data import OwnData
from hpo.spec.file.urls import is_url
from hpo.spec.marks import Spec
from hpo.spec.sections.data import DataSpec, TableFile
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


def nests(dataset: str | Spec) -> bool:
    """Whether the folders of a data set's files say something of their examples."""
    return not isinstance(dataset, str) and READERS[key_of(dataset)].nests


def packages(dataset: str | Spec) -> list[str]:
    """The further packages that read a data set."""
    package = "" if isinstance(dataset, str) else READERS[key_of(dataset)].package
    return [package] if package else []


def source_files(spec: DataSpec, folder: Path, home: Path | None) -> list[Path]:
    """The files on which the examples depend; none for a bundled set, which is not worth caching.

    Raises:
        DataError: if files of the user's own are missing.
    """
    found = _example_files(spec, folder, home)
    of_texts = [folder / Path(file).expanduser() for file in spec.text.files.values()]
    return [*found, *of_texts] if found else []


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
    found: list[Path] = []
    for there in (where, *split_files(spec, folder, home).values()):
        if entry.files:
            found += load(entry.files)(there)
        elif not isinstance(spec.dataset, str):
            found.append(there)
    return found


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
    return entry, looked_for(path, key, entry, folder, home)


def looked_for(path: str, key: str, entry: Entry, folder: Path, home: Path | None) -> Path:
    """The file or folder that a key of `data.dataset` names.

    Raises:
        DataError: where there is none.
    """
    if is_url(path):
        from hpo.data.remote import fetched  # imports what few specs need

        return fetched(path, key)
    try:
        return _find(path, key, entry, folder, home)
    except (OSError, ValueError, RuntimeError) as error:
        # A name that is too long, a folder that may not be entered, `~nobody`, a null character.
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(
            f"data.dataset.{key}: {shown(path)} cannot be looked for ({reason}): correct the path."
        ) from None


def split_files(spec: DataSpec, folder: Path, home: Path | None) -> dict[str, Path]:
    """The files of a table's rows for validation and test that a spec names and uses.

    Raises:
        DataError: where there is no such file.
    """
    return {
        name: looked_for(path, name, READERS[key_of(spec.dataset)], folder, home)
        for name, path in used_splits(spec).items()
    }


def used_splits(spec: DataSpec) -> dict[str, str]:
    """The paths of these files as the spec has them: none for a test that it does not ask for."""
    if not isinstance(spec.dataset, TableFile):
        return {}
    own = spec.dataset.own_splits
    return {name: path for name, path in own.items() if name != "test" or spec.test != 0}


def _find(path: str, key: str, entry: Entry, folder: Path, home: Path | None) -> Path:
    kinds = ["folder"] if entry.files else ["file"]
    kinds += ["file"] if entry.takes_file else []
    # Joining an absolute path gives that path.
    wanted = Path(path).expanduser()
    folders = [folder] if home is None or wanted.is_absolute() else [folder, home]
    for there in (start / wanted for start in folders):
        if "folder" in kinds and _is(there, stat.S_ISDIR):
            return there
        if "file" in kinds and wanted.name:
            for suffix in ("", *_OPENERS):
                if _is(path_there := there.with_name(there.name + suffix), stat.S_ISREG):
                    return path_there
    if wanted.parts and (name := wanted.parts[0]) in _downloads():
        raise MissingDownloadError(
            f"data.dataset: {path}: is not on this machine: run `hpo data get {name}`, or set "
            f"HPO_DATA to the folder that holds {name}/."
        )
    where = "" if wanted.is_absolute() else f" in {' or '.join(map(str, folders))}"
    raise DataError(
        f"data.dataset.{key}: there is no {' or '.join(kinds)} {shown(path)}{where}: "
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
    """The bytes of a file as a stream, unpacked where its name ends in `.gz`, `.bz2` or the like.

    Raises:
        DataError: while the stream is read, for a file that cannot be read or unpacked.
    """
    kind = _OPENERS[path.suffix][0] if path.suffix in _OPENERS else ""
    try:
        with _OPENERS[path.suffix][1](path) if kind else path.open("rb") as stream:
            yield cast("BinaryIO", stream)
    except EOFError:
        raise DataError(
            f"{path}: is truncated: the {kind} data end early. Download it again."
        ) from None
    except (zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise DataError(f"{path}: is a damaged {kind} file ({error}). Download it again.") from None
    except OSError as error:
        if kind and error.errno is None:  # of bz2 and zstd
            raise DataError(
                f"{path}: is a damaged {kind} file ({error}). Download it again."
            ) from None
        raise DataError(
            f"{path}: cannot be read: {error.strerror or error}. Check its permissions."
        ) from None


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """The same stream, which ends with an error where a file unpacks to far more than a table does.

    Raises:
        DataError: while the stream is read.
    """
    with opened(path) as stream:
        if path.suffix in _OPENERS:
            yield cast("BinaryIO", io.BufferedReader(_Bounded(path, stream), _PIECE))
        else:
            yield stream


class _Bounded(io.RawIOBase):
    """What a packed file holds, up to a bound."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path, self._stream, self._read = path, stream, 0
        self._packed = path.stat().st_size
        self._most = max(_ALWAYS_UNPACKED, _MOST_TIMES * self._packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        self._read += len(piece)
        if self._read > self._most:
            raise _bomb(self._path, self._packed)
        return len(piece)


def check_unpacked(path: Path, size: int) -> None:
    """Refuse a packed file that says that it unpacks to far more bytes than data do.

    Raises:
        DataError: if it does.
    """
    packed = path.stat().st_size
    if size > max(_ALWAYS_UNPACKED, _MOST_TIMES * packed):
        raise _bomb(path, packed)


def _bomb(path: Path, packed: int) -> DataError:
    return DataError(
        f"{path}: unpacks to more than {_MOST_TIMES} times its {packed:,} bytes, as no table does: "
        "if you trust it, unpack it and name the unpacked file."
    )


def most_bytes(path: Path) -> int:
    """The most bytes that a file can hold, unpacked."""
    return path.stat().st_size * (_DEFLATE_TIMES if path.suffix == ".gz" else 1)


def is_packed(path: Path) -> bool:
    """Whether the name of a file says that it is packed."""
    return path.suffix in _OPENERS


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked where its name ends in `.gz`, `.bz2` or the like.

    Raises:
        DataError: for a file that cannot be read, or unpacks to far more than a table does.
    """
    with unpacked(path) as stream:
        if path.suffix not in _OPENERS:
            return stream.read()
        pieces = bytearray()
        while piece := stream.read(_PIECE):
            pieces += piece
        return bytes(pieces)


def _open_zstd(path: Path) -> Any:
    """A file packed by Zstandard, which pyarrow can unpack.

    Raises:
        DataError: where pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise DataError(
            f"{path}: .zst files need pyarrow, which is not installed: run `pip install "
            "'hpo-lanes[arrow]'`, or unpack the file."
        ) from None
    return pyarrow.input_stream(str(path), compression="zstd")


_OPENERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    ".gz": ("gzip", gzip.open),
    ".bz2": ("bzip2", bz2.open),
    ".xz": ("xz", lzma.open),
    ".zst": ("Zstandard", _open_zstd),
}
