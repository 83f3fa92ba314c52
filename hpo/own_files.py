"""Files and folders that no other user can have written.

A cache is believed: a compiled program runs as native code, and trials learn from cached arrays. So
a run opens regular files of its own user only, in folders that nobody else may change, as OpenSSH
demands of its keys (`StrictModes`). It goes on without a cache that is not like that.
"""

from __future__ import annotations

import grp
import hashlib
import json
import logging
import os
import pwd
import re
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from hpo.errors import cut

_LOG = logging.getLogger(__name__)

# The names in a cache. A folder that holds others is the user's, and its modes are not changed.
_CACHED = re.compile(
    r"\.?[0-9a-f]{64}(\..*)?|\.?costs\.json(\..*)?|\.?[0-9a-f]{12,32}(\..*)?|data|files|hpo|jax|urls|xla"
    r"|.*-(cache|atime)|\.lockfile|xla_gpu_.*"
)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40
_MOST_SHOWN = 200  # characters of a path in a message
_LEFT_OVER_SECONDS = 86_400

# The sentences that this process has logged, by what they are about.
_said: set[str] = set()


class _UnfitError(Exception):
    """A folder that no cache is kept in: which one, why, and what to do about it."""

    def __init__(self, folder: Path, why: str, cure: str = "") -> None:
        super().__init__(folder, why, cure)
        self.folder, self.why, self.cure = folder, why, cure


class _UnwritableError(Exception):
    """A folder in which the folder of a cache cannot be made."""


def own_folder(folder: Path, uid: int | None = None, *, setting: str = "HPO_CACHE") -> Path | None:
    """A folder of the user's own without links in its path, made if it is missing.

    None if others can have written there, or if it cannot be entered: a warning says so once.
    A cache that others may enter is closed to them, which is said once, too. `setting` is the
    variable that names the folder.
    """
    try:
        return _own_folder(folder, os.geteuid() if uid is None else uid)
    except _UnwritableError as error:
        say_unwritable(*error.args)
    except _UnfitError as unfit:
        say_unusable(unfit.folder, unfit.why, unfit.cure, setting=setting)
    except OSError as error:
        say_unusable(folder, f"cannot be used ({error.strerror})", setting=setting)
    return None


def say_unusable(folder: Path, why: str, cure: str = "", *, setting: str = "HPO_CACHE") -> None:
    """Say, once in a process, why no cache is kept in a folder."""
    do = f"{cure}, or set" if cure else "set"
    where = f"{shown(folder)} {why}, so that no cache is kept there"
    _say_once(f"{folder} {why}", f"{where}: {do} {setting} to a folder of your own.")


def open_own(file: Path, uid: int | None = None) -> BinaryIO:
    """A file, opened to be read.

    Raises:
        OSError: unless it is a regular file of the user's, no link, that nobody else may write.
    """
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or not is_own(status, uid):
        os.close(handle)
        raise PermissionError(f"{file}: another user can have written it")
    return os.fdopen(handle, "rb")


def read_own(file: Path, uid: int | None = None) -> bytes | None:
    """The content of a file of the user's own (see `open_own`); None if there is no such file."""
    try:
        with open_own(file, uid) as opened:
            return opened.read()
    except OSError:
        return None


def is_own(status: os.stat_result, uid: int | None = None) -> bool:
    """Whether a file or folder is the user's, and nobody else may write it."""
    mine = os.geteuid() if uid is None else uid
    return status.st_uid == mine and not status.st_mode & _OTHERS_WRITE


def is_own_entry(path: Path, uid: int | None = None) -> bool:
    """Whether a path is a file or folder, no link, that nobody but the user can have written.

    Raises:
        OSError: if there is none.
    """
    status = path.lstat()
    mine = os.geteuid() if uid is None else uid
    is_plain = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return is_plain and status.st_uid == mine and not _others_may_write(status)


def write_own(file: Path, content: bytes) -> None:
    """Write a file of a cache, or replace it at once; only the user may read it.

    Where it cannot be written, a warning says so once.
    """
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        os.replace(temporary, file)  # noqa: PTH105 - both are in one folder
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 - a string
        say_unwritable(file.parent, error)


def note(home: Path | None, about: Any) -> None:
    """Note in a folder of the user's own that the user has asked for what the values are about.

    Without such a folder nothing is noted.
    """
    if (file := _note(home, about)) is not None:
        write_own(file, b"")


def is_noted(home: Path | None, about: Any) -> bool:
    """Whether `note` has been called with equal values, which may come from a database."""
    file = _note(home, about)
    return file is not None and read_own(file) is not None


def _note(home: Path | None, about: Any) -> Path | None:
    folder = None if home is None else own_folder(home, setting="XDG_STATE_HOME")
    # Through JSON and back, so that keys and numbers are as a database gives them.
    plain = json.loads(json.dumps(about, default=str))
    text = json.dumps(plain, sort_keys=True)
    return folder and folder / hashlib.sha256(text.encode()).hexdigest()


def create_own(path: str, flags: int) -> int:
    """An `opener` for `open`: creates a file that only the user may read."""
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def say_unwritable(folder: Path, error: OSError) -> None:
    """Say, once in a process, that a cache cannot be written."""
    why = error.strerror or str(error)
    _say_once(
        "unwritable",
        f"{shown(folder)} cannot be written ({why}), so that the next run prepares again what "
        "this one would have cached: free some space, or set HPO_CACHE to a folder of your own.",
    )


def shown(path: Path | str) -> str:
    """A path in a message: control characters escaped, and cut if it is long."""
    return cut(str(path), _MOST_SHOWN)


def left_over(folder: Path) -> list[Path]:
    """The unfinished entries in a cache that a process has left, older than a day."""
    oldest, found = time.time() - _LEFT_OVER_SECONDS, []
    with suppress(OSError):
        for entry in folder.iterdir():
            is_unfinished = entry.name.startswith(".") and entry.name != ".lockfile"
            if is_unfinished and _CACHED.fullmatch(entry.name) and entry.lstat().st_mtime < oldest:
                found.append(entry)
    return found


def _own_folder(folder: Path, uid: int) -> Path:
    path, status = _walked(folder, uid)
    if status.st_uid != uid:
        raise _foreign(path, status)
    mode = stat.S_IMODE(status.st_mode)
    if not os.access(path, os.R_OK | os.X_OK):
        raise _UnfitError(path, "cannot be entered (Permission denied)")
    # A folder with the sticky bit, such as /tmp, is everybody's.
    if mode & _OTHERS and not mode & stat.S_ISVTX and _is_cache(path):
        with suppress(OSError):  # a file system that is read-only, or has no modes
            path.chmod(closed := mode & stat.S_IRWXU)
            status = path.lstat()
            _say_once(
                "closed",
                f"{shown(path)} was open to other users (mode {mode:04o}): it and the folders of "
                f"this cache in it are now open to you alone (mode {closed:04o}).",
            )
    if _others_may_write(status):
        raise _writable(path, status)
    return path


def _walked(folder: Path, uid: int) -> tuple[Path, os.stat_result]:
    """The folder that a path leads to, without links, and its status.

    What is missing is made, for the user alone.

    Raises:
        _UnfitError: if another user may change what lies on the way, or if it cannot be entered.
        _UnwritableError: if a folder cannot be made.
    """
    path = folder if folder.is_absolute() else Path.cwd() / folder
    left, here, links = [*reversed(path.parts[1:])], Path(path.anchor), 0
    while left:
        if (name := left.pop()) == "..":
            here = here.parent
            continue
        status = _made(here, name)
        there = here / name
        if status.st_uid not in (0, uid):
            raise _foreign(there, status)
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise _UnfitError(there, "is a link that leads nowhere")
            target = there.readlink()
            left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            here = Path(target.anchor) if target.is_absolute() else here
            continue
        if not stat.S_ISDIR(status.st_mode):
            raise _UnfitError(there, "is not a folder")
        # With the sticky bit, nobody can replace what the user or root has made there.
        if left and _others_may_write(status) and not status.st_mode & stat.S_ISVTX:
            raise _writable(there, status)
        here = there
    return here, here.lstat()


def _made(parent: Path, name: str) -> os.stat_result:
    """The status of an entry in a folder; a new folder if there is none."""
    try:
        return (parent / name).lstat()
    except FileNotFoundError:
        pass
    except PermissionError as error:
        raise _UnfitError(parent, f"cannot be entered ({error.strerror})") from None
    except OSError as error:
        raise _UnfitError(parent / name, f"cannot be used ({error.strerror})") from None
    try:
        with suppress(FileExistsError):  # another process was faster
            (parent / name).mkdir(mode=0o700)
        return (parent / name).lstat()
    except OSError as error:
        raise _UnwritableError(parent, error) from None


def _others_may_write(status: os.stat_result) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_alone(status.st_uid, status.st_gid)


def _is_alone(uid: int, gid: int) -> bool:
    """Whether a group is the one that many systems make for each user, who is its only member."""
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    is_named_alike = (user.pw_gid, user.pw_name) == (gid, group.gr_name)
    return is_named_alike and set(group.gr_mem) <= {user.pw_name}


def _is_cache(folder: Path) -> bool:
    return all(_CACHED.fullmatch(name) for name in os.listdir(folder))  # noqa: PTH208 - names alone


def _foreign(path: Path, status: os.stat_result) -> _UnfitError:
    return _UnfitError(path, f"belongs to another user (number {status.st_uid})")


def _writable(path: Path, status: os.stat_result) -> _UnfitError:
    is_shared = status.st_mode & stat.S_ISVTX  # others need to write there
    cure = "" if is_shared else f"run `chmod go-w {shown(path)}`"
    return _UnfitError(path, "may be written by other users", cure)


def _say_once(what: str, sentence: str) -> None:
    if what not in _said:
        _said.add(what)
        _LOG.warning("%s", sentence)
