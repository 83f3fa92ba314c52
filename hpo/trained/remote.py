"""Folders of trained models by URL, such as `s3://bucket/model`, with fsspec.

A model is read from a copy on this machine. One that is written lies here until it is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from hpo.data.remote import copies_folder, copy_of, file_system, forget, name_in, why
from hpo.errors import HpoError
from hpo.spec.file.urls import is_url, without_secrets
from hpo.spec.words import shown
from hpo.trained.load import data_fingerprint
from hpo.trained.save import METRICS_FILE, SPEC_FILE, files_of

_MOST_BYTES = 64 << 20  # of metrics.json
_ABOUT = ".about"  # the file beside a model that could not be sent
_ARRIVING = ".arriving"  # the folder at a URL that holds a model while it is sent


def local_model(place: str | Path) -> Path:
    """The folder of a model on this machine: that of a path, or a copy of that of a URL.

    Raises:
        HpoError: for a URL whose folder cannot be fetched, or that says how to log in.
    """
    text = str(place)
    if not is_url(text):
        return Path(place)
    _check_secrets(text, "the URL of the model")
    return copy_of(text, text)


def local_data(place: str | Path) -> Path:
    """A file or folder of new data on this machine: that of a path, or a copy of that of a URL.

    Raises:
        HpoError: for a URL that cannot be fetched, that says how to log in, or that is a `Path`.
    """
    text = str(place)
    if is_url(text):
        _check_secrets(text, "the URL of the data")
        return copy_of(text, text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) and not Path(place).exists():
        raise HpoError(
            f"{text}: is a URL that lacks a slash, as in a Path: give it as a text, with //."
        )
    return Path(place)


def named_model(name: str, start: Path, key: str) -> Path:
    """The folder of a model that a spec names under `key`; a relative one begins at `start`.

    Raises:
        HpoError: for a URL whose folder cannot be fetched.
    """
    if is_url(name):
        return copy_of(name.rstrip("/"), f"{key}: {shown(name)}").resolve()
    return (start / Path(name).expanduser()).resolve()


@contextmanager
def written_to(place: str | Path, *, is_replaced: bool, about: str = "") -> Iterator[Path]:
    """A folder on this machine to write a model into; that of a URL gets its files at the end.

    It is the same folder for the same URL, so that a stopped training finds its checkpoint. `about`
    says what the model is made from: `send_again` compares it where a model could not be sent.

    Raises:
        HpoError: for a URL where other files lie, or a model unless `is_replaced`. For one that
            cannot be written, with the place of the model, or that another process writes.
    """
    url = str(place)
    if not is_url(url):
        yield Path(place)
        return
    _check_secrets(url, "-o")
    _listed(url, is_replaced=is_replaced)
    folder = _folder_of(url)
    with _alone(folder.parent, url):
        if (folder / METRICS_FILE).exists():
            raise HpoError(
                f"-o {url}: a model of another command, or of other data, could not be sent and is "
                f"in {folder}: copy its files to the URL, or delete them to train again."
            )
        (folder.parent / _ABOUT).write_text(about, encoding="utf-8")
        try:
            yield folder
        except HpoError as error:  # the user knows the URL
            error.args = (str(error).replace(str(folder), url), *error.args[1:])
            raise
        _hand_over(folder, url, is_replaced=is_replaced)


def holds_model(place: str | Path) -> bool:
    """Whether a model lies in a folder, or at a URL.

    Raises:
        HpoError: for a URL that cannot be read, or where other files lie.
    """
    url = str(place)
    if not is_url(url):
        return (Path(place) / METRICS_FILE).exists()
    _check_secrets(url, "-o")
    return bool(_listed(url, is_replaced=True))


def send_again(
    place: str | Path, about: str, data: Callable[[], str], *, is_replaced: bool
) -> bool:
    """Send the model that a run before this one could not send; False without one.

    It must be made from what `about` says, and from data with the fingerprint that `data` gives.

    Raises:
        HpoError: for a URL that still cannot be written, or data that cannot be read.
    """
    url = str(place)
    if not is_url(url):
        return False
    _check_secrets(url, "-o")
    folder = _folder_of(url)
    with _alone(folder.parent, url):
        if not (folder / METRICS_FILE).is_file() or not about or _about(folder) != about:
            return False
        if data_fingerprint(folder) != data():
            return False
        _hand_over(folder, url, is_replaced=is_replaced)
    return True


def _folder_of(url: str) -> Path:
    """The folder on this machine of a model that is written to a URL; the one above it is made."""
    name = name_in(PurePosixPath(urlsplit(url).path).name, "model")
    folder = copies_folder() / hashlib.sha256(f"-o {url}".encode()).hexdigest()[:32] / name
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _about(folder: Path) -> str:
    """What an unsent model is made from; earlier releases have kept its spec alone."""
    for file in (folder.parent / _ABOUT, folder / SPEC_FILE):
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return ""


def _hand_over(folder: Path, url: str, *, is_replaced: bool) -> None:
    try:
        # Others may have written there during the training.
        _send(folder, url, _listed(url, is_replaced=is_replaced))
    except HpoError as error:
        raise HpoError(f"{str(error).rstrip('.')}; the new model is in {folder}.") from None
    except Exception as error:  # each file system raises errors of its own packages
        raise HpoError(
            f"-o {url}: cannot be written ({why(error)}): the model is in {folder}."
        ) from None
    forget(url)
    shutil.rmtree(folder.parent, ignore_errors=True)


def _check_secrets(url: str, where: str) -> None:
    """Refuse a URL that shows how to log in; it is not repeated.

    Raises:
        HpoError: for such a URL.
    """
    try:
        without_secrets(url)
    except ValueError as error:
        raise HpoError(f"{where}: {error}.") from None


@contextmanager
def _alone(folder: Path, url: str) -> Iterator[None]:
    """A folder that no other process writes a model into meanwhile.

    Raises:
        HpoError: where one does.
    """
    with (folder / ".writing").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HpoError(f"-o {url}: another run of hpo writes it: wait for its end.") from None
        yield


def _listed(url: str, *, is_replaced: bool) -> list[str]:
    """The files of the model at a URL, which another one is to replace; empty for none.

    Raises:
        HpoError: for files of others, or a model unless `is_replaced`.
    """
    system, path = file_system(url, f"-o {url}", is_out=True)
    try:
        files = [PurePosixPath(one).relative_to(path).as_posix() for one in _files(system, path)]
        found = [one for one in files if not one.startswith(f"{_ARRIVING}/")]
        known = _known(system, path) if METRICS_FILE in found else []
    except Exception as error:
        raise HpoError(f"-o {url}: cannot be used ({why(error)}): give another.") from None
    if not found:
        return []
    if METRICS_FILE not in found:
        raise HpoError(f"-o {url}: holds other files: give a new or empty folder.")
    if not is_replaced:
        raise HpoError(
            f"-o {url}: holds a trained model: give another folder, or --force to replace it."
        )
    if others := [one for one in found if one not in (METRICS_FILE, *known)]:
        raise HpoError(
            f"-o {url}: holds {others[0]}, which hpo did not write: move it, or give another."
        )
    return found


def _files(system: Any, path: str) -> list[str]:
    try:
        return [*map(str, system.find(path))]
    except FileNotFoundError:
        return []


def _known(system: Any, path: str) -> list[str]:
    """The files that `metrics.json` lists."""
    with system.open(f"{path}/{METRICS_FILE}", "rb") as file:
        document = json.loads(file.read(_MOST_BYTES))
    files = document.get("files") if isinstance(document, dict) else None
    return [*map(str, files)] if isinstance(files, list) else []


def _send(folder: Path, url: str, listed: list[str]) -> None:
    """Send a model in place of the `listed` files, which stay where sending fails.

    No half of a model is read: `metrics.json` goes first and comes last.
    """
    system, path = file_system(url, f"-o {url}", is_out=True)
    arriving, names = f"{path}/{_ARRIVING}", files_of(folder)
    try:
        for name in names:
            _make_room(system, f"{arriving}/{name}")
            system.put_file(str(folder / name), f"{arriving}/{name}")
        for name in sorted(listed, key=lambda name: name != METRICS_FILE):
            system.rm(f"{path}/{name}")
        for name in sorted(names, key=lambda name: name == METRICS_FILE):
            _make_room(system, f"{path}/{name}")
            system.mv(f"{arriving}/{name}", f"{path}/{name}")
    finally:
        with suppress(Exception):  # no file may be left, and then stores know no such folder
            system.rm(arriving, recursive=True)


def _make_room(system: Any, target: str) -> None:
    system.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
