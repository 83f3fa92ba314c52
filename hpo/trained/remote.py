"""Folders of trained models by URL, such as `s3://bucket/model`, with fsspec.

A model is read from a copy on this machine. One that is written lies here until it is whole.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from hpo.data.remote import copies_folder, copy_of, file_system, forget, why
from hpo.errors import HpoError
from hpo.spec.sections.data import is_url
from hpo.trained.save import METRICS_FILE, files_of

_MOST_BYTES = 64 << 20  # of metrics.json


def local_model(place: str | Path) -> Path:
    """The folder of a model on this machine: that of a path, or a copy of that of a URL.

    Raises:
        HpoError: for a URL whose folder cannot be fetched.
    """
    text = str(place)
    return copy_of(text, text) if is_url(text) else Path(place)


@contextmanager
def written_to(place: str | Path, *, is_replaced: bool) -> Iterator[Path]:
    """A folder on this machine to write a model into; that of a URL gets its files at the end.

    It is the same folder for the same URL, so that a stopped training finds its checkpoint.

    Raises:
        HpoError: for a URL where other files lie, or a model unless `is_replaced`; for one that
            cannot be written, with the place of the model.
    """
    url = str(place)
    if not is_url(url):
        yield Path(place)
        return
    listed = _listed(url, is_replaced=is_replaced)
    name = PurePosixPath(urlsplit(url).path).name or "model"
    folder = copies_folder() / hashlib.sha256(f"-o {url}".encode()).hexdigest()[:32] / name
    # A model that could not be sent before.
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield folder
    try:
        _send(folder, url, listed)
    except Exception as error:  # each file system raises errors of its own packages
        raise HpoError(
            f"-o {url}: cannot be written ({why(error)}): the model is in {folder}."
        ) from None
    forget(url)
    shutil.rmtree(folder.parent, ignore_errors=True)


def _listed(url: str, *, is_replaced: bool) -> list[str]:
    """The files of the model at a URL, which another one is to replace; empty for none.

    Raises:
        HpoError: for files of others, or a model unless `is_replaced`.
    """
    system, path = file_system(url, f"-o {url}")
    try:
        found = [PurePosixPath(one).relative_to(path).as_posix() for one in _files(system, path)]
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
    """Send a model in place of the `listed` files.

    No half of a model is read: `metrics.json` goes first and comes last.
    """
    system, path = file_system(url, f"-o {url}")
    for name in sorted(listed, key=lambda name: name != METRICS_FILE):
        system.rm(f"{path}/{name}")
    for name in sorted(files_of(folder), key=lambda name: name == METRICS_FILE):
        target = f"{path}/{name}"
        system.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
        system.put_file(str(folder / name), target)
