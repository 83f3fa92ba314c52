"""Reads the weights of a trained model, from which others start."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hpo.engine.training.compression.packing import leaves
from hpo.errors import HpoError
from hpo.spec.words import shown
from hpo.trained.packed import PACKED_FILE, is_packed, read_packed, with_arrays
from hpo.trained.save import METRICS_FILE, WEIGHTS_FOLDER, checkpoints

_CLOSED = "Event loop is closed"


@dataclass(frozen=True, eq=False)
class Weights:
    """The arrays of a trained model by their names, such as `params/head/kernel`, for each run.

    A run has the name of its files, such as `fold-0`; the only one is `""`. `sha256` is a hash of
    names, shapes and numbers. `classes` are those of the outputs, and `fingerprint` is that of the
    data; None where the folder does not say.
    """

    runs: Mapping[str, Mapping[str, np.ndarray]]
    sha256: str
    classes: tuple[str, ...] | None
    fingerprint: str | None


def read_weights(folder: Path, written: str) -> Weights:
    """The weights in a folder that hpo train wrote; a spec names it as `written`.

    Nothing in the folder is run: it holds arrays and JSON.

    Raises:
        HpoError: for another folder.
    """
    where = f"model.from: {shown(written)}"
    place, metrics = folder / WEIGHTS_FOLDER, folder / METRICS_FILE
    if not metrics.is_file() or not place.is_dir():
        raise HpoError(f"{where} is no folder of a trained model: give one that hpo train wrote.")
    try:
        # Every new model has a new file.
        weights = _read(folder, (metrics.stat().st_mtime_ns, metrics.stat().st_ino))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HpoError(
            f"{where} cannot be read ({type(error).__name__}): train that model again."
        ) from error
    runs = weights.runs.values()
    if not all(any(name.startswith("params/") for name in arrays) for arrays in runs):
        raise HpoError(f"{where} holds no weights of a model: give a folder of a trained model.")
    return weights


def weight_bytes(folder: Path) -> int:
    """The bytes of the weights in the folder of a trained model: packed, or 4 for each number.

    Those of several runs count together.

    Raises:
        HpoError: for a folder without the weights of a model.
    """
    place = folder / WEIGHTS_FOLDER
    packed = [*place.glob(PACKED_FILE), *place.glob(f"*/{PACKED_FILE}")]
    if packed:  # the weights of every run are, then
        return sum(file.stat().st_size for file in packed)
    runs = read_weights(folder, str(folder)).runs.values()
    return sum(one.nbytes for arrays in runs for one in arrays.values())


def holds_weights(place: Path) -> bool:
    """Whether a folder itself holds the weights of a run."""
    return is_packed(place) or (place / "_METADATA").is_file()


@lru_cache(maxsize=16)
def _read(folder: Path, version: tuple[int, int]) -> Weights:
    """The weights in a folder; those of another `version` of it are read again."""
    document = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    place, classes = folder / WEIGHTS_FOLDER, document.get("classes")
    places = {one.name: one for one in sorted(place.iterdir()) if holds_weights(one)}
    runs = {
        name: read_packed(one) if is_packed(one) else _restored(one)
        for name, one in (places or {"": place}).items()
    }
    named = None if classes is None else tuple(map(str, classes))
    provenance = document.get("provenance")
    about = provenance if isinstance(provenance, dict) else {}
    return Weights(runs, _hash(runs), named, about.get("data_fingerprint"))


def _restored(place: Path) -> dict[str, np.ndarray]:
    def read(checkpointer: Any) -> Any:
        return checkpointer.restore(place.resolve())

    return {name: np.asarray(leaf) for name, leaf in leaves(_read_by(read))}


def restored_like(place: Path, expected: Any) -> Any:
    """The weights in a folder, of these shapes and types; no checkpoint of others is read.

    Raises:
        ValueError: for other names, shapes or types, or a checkpoint that cannot be read.
    """
    if is_packed(place):
        arrays = read_packed(place)
        _check(expected, arrays)
        return with_arrays(expected, arrays)

    def read(checkpointer: Any) -> Any:
        metadata: Any = checkpointer.metadata(place.resolve())
        found = getattr(metadata, "item_metadata", metadata)
        if found is None:  # Orbax has logged the error, and goes on
            raise ValueError("holds no checkpoint that can be read")
        _check(expected, dict(leaves(getattr(found, "tree", found))))
        return checkpointer.restore(place.resolve(), expected)

    return _read_by(read)


def _read_by(read: Callable[[Any], Any]) -> Any:
    """What a function reads with Orbax.

    Raises:
        ValueError: for a checkpoint that cannot be read; the errors of Orbax are not printed.
    """
    try:
        with checkpoints() as checkpointer:
            return read(checkpointer)
    except MemoryError:
        raise
    except Exception as error:  # Orbax and TensorStore raise many
        _print_no_late_errors()
        raise ValueError(str(error) or type(error).__name__) from error


@cache
def _print_no_late_errors() -> None:
    """Keep those arrays off the screen that were read at the same time as one that cannot be.

    TensorStore hands them over to an event loop that Orbax has closed after the first error. Those
    that cannot be read either are logged when they are collected.
    """
    usual = sys.unraisablehook

    def others(found: sys.UnraisableHookArgs) -> None:
        if not (found.exc_type is RuntimeError and str(found.exc_value) == _CLOSED):
            usual(found)

    sys.unraisablehook = others
    logging.getLogger("asyncio").addFilter(
        lambda record: "tensorstore_spec" not in record.getMessage()
    )


def _check(expected: Any, held: Mapping[str, Any]) -> None:
    """Refuse arrays of other names, shapes or types than a tree expects."""
    asked = dict(leaves(expected))
    for name in sorted(asked.keys() ^ held.keys()):
        raise ValueError(f"{name} is {'missing' if name in asked else 'not of this model'}")
    for name, leaf in asked.items():
        one = held[name]
        if tuple(one.shape) != tuple(leaf.shape) or np.dtype(one.dtype) != leaf.dtype:
            raise ValueError(f"{name} has the shape {list(one.shape)}, not {list(leaf.shape)}")


def _hash(runs: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    digest = hashlib.sha256()
    named = {
        f"{run}/{name}" if run else name: array
        for run, arrays in runs.items()
        for name, array in arrays.items()
    }
    for name in sorted(named):
        array = named[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
