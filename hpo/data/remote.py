"""Files and folders by URL, copied to this machine by fsspec.

A copy lies in the cache of the user, below the hash of the URL and that of what the server says of
its files. A process asks the server once for each URL, and fetches what has changed.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from hpo.errors import DataError, cut
from hpo.own_files import left_over, own_folder
from hpo.spec.words import shown

_PIECE = 1 << 20
# The copies that this process has looked up.
_known: dict[str, Path] = {}


def fetched(url: str, key: str) -> Path:
    """The copy of what a URL names, which is fetched if it is new; `key` is that of the spec.

    Raises:
        DataError: if it cannot be fetched.
    """
    return copy_of(url, f"data.dataset.{key}: {shown(url)}")


def copy_of(url: str, where: str) -> Path:
    """The copy of what a URL names, which is fetched if it is new; messages begin with `where`.

    Raises:
        DataError: if it cannot be fetched.
    """
    if url in _known and _known[url].exists():
        return _known[url]
    system, path = file_system(url, where)
    try:
        _known[url] = _copied(system, path, url)
    except FileNotFoundError:
        raise DataError(f"{where}: is not there: correct the URL.") from None
    except Exception as error:
        raise _unfetched(where, error) from None
    return _known[url]


def url_of(copy: Path) -> str | None:
    """The URL that this process has looked up a copy for; None for a path that is no copy."""
    return next((url for url, there in _known.items() if there == copy), None)


def forget(url: str) -> None:
    """Ask the server again where a URL is read next: this process has written to it."""
    _known.pop(url, None)


def file_system(url: str, where: str, *, is_out: bool = False) -> tuple[Any, str]:
    """The file system of a URL and the path in it; messages begin with `where`.

    Raises:
        DataError: without fsspec or the package of that file system, and for a web server that is
            to be written to.
    """
    if is_out and url.lower().startswith(("http://", "https://")):
        raise _unwritten(where, "a web server takes no files")
    try:
        import fsspec
    except ImportError:
        raise DataError(
            f"{where}: URLs need fsspec, which is not installed: run `pip install "
            f"'hpo-lanes[urls]'`, or {'give a folder' if is_out else 'copy the file'}."
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except Exception as error:  # each file system raises errors of its own packages
        if is_out:
            raise _unwritten(where, why(error)) from None
        raise _unfetched(where, error) from None
    return system, path


def why(error: Exception) -> str:
    """The error of a file system in one line."""
    return cut(" ".join(str(error).split()) or type(error).__name__, 200).rstrip(".")


def _unwritten(where: str, reason: str) -> DataError:
    return DataError(
        f"{where}: nothing can be written there ({reason}): give a folder, or a URL such as "
        "s3://bucket/model."
    )


def _unfetched(where: str, error: Exception) -> DataError:
    text = f"{where}: cannot be fetched ({why(error)}): correct the URL, or copy the file."
    return DataError(text)


def _copied(system: Any, path: str, url: str) -> Path:
    """The copy of a file or folder, fetched unless there is one of the same state."""
    infos = _infos(system, path)
    folder = copies_folder() / hashlib.sha256(url.encode()).hexdigest()[:32]
    state = hashlib.sha256(repr([*infos.items()]).encode()).hexdigest()[:32]
    name = name_in(PurePosixPath(urlsplit(url).path or path).name, "data")
    there = folder / state / name
    if there.exists():
        return there
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    size = sum(int(info.get("size") or 0) for info in infos.values())
    if shutil.disk_usage(folder).free < 2 * size:
        raise OSError(f"the disk has no room for its {size:,} bytes")
    new = Path(tempfile.mkdtemp(prefix=f".{state}.", dir=folder))
    try:
        for inner, info in infos.items():
            relative = (
                PurePosixPath(inner).relative_to(PurePosixPath(path)) if inner != path else ""
            )
            if ".." in PurePosixPath(relative).parts:
                raise OSError(f"holds a file named {inner}")
            target = new / name / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            with system.open(inner, "rb") as source, target.open("wb") as out:
                _copy(source, out, info.get("size"))
        try:
            new.rename(folder / state)
        except OSError:
            if not there.exists():  # else another process has fetched it meanwhile
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    earlier = [one for one in folder.iterdir() if not one.name.startswith(".")]
    for other in [*(one for one in earlier if one.name != state), *left_over(folder)]:
        shutil.rmtree(other, ignore_errors=True)
    return there


def name_in(name: str, other: str) -> str:
    """The name of a copy in its folder: another one for those that stand for a folder."""
    return other if name in ("", ".", "..") else name


def _copy(source: BinaryIO, out: BinaryIO, size: int | None) -> None:
    """Copy a file, no more of it than the server says that it has."""
    left = math.inf if size is None else int(size)
    while piece := source.read(_PIECE):
        left -= len(piece)
        if left < 0:
            raise OSError(f"sends more than the {size:,} bytes that it tells")
        out.write(piece)


def _infos(system: Any, path: str) -> Mapping[str, Mapping[str, Any]]:
    """What the server says of the file, or of each file in the folder, by their paths."""
    if not system.isdir(path):
        return {path: system.info(path)}
    found: dict[str, Mapping[str, Any]] = system.find(path, detail=True)
    if not found:
        raise OSError("the folder is empty")
    return dict(sorted(found.items()))


def copies_folder() -> Path:
    """The folder of the copies: in the user's cache, or a temporary one where there is none."""
    named = os.environ.get("HPO_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    own = own_folder(Path(named).expanduser() if named else Path(base) / "hpo")
    if own is not None and (copies := own_folder(own / "data" / "urls")) is not None:
        return copies
    return Path(tempfile.mkdtemp(prefix="hpo-"))
