"""NPZ files: the arrays `x` and `y` of a data set, as `numpy.savez` writes them.

An array of objects is a pickle, which may run code: it is refused.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hpo.data.files import check_unpacked
from hpo.data.head import Head
from hpo.data.readers.arrays import Origin, to_source
from hpo.data.source import Source
from hpo.errors import DataError, cut
from hpo.spec.sections.data import DataSpec, NpzFile

if TYPE_CHECKING:
    import numpy as np

# The ends of the names of arrays, by the split that they belong to.
_ENDS = {
    "train": ("", "_train"),
    "validation": ("_validation", "_valid", "_val"),
    "test": ("_test",),
}
_KINDS = ("x", "y", "weight")
_PIECE = 1 << 20


class _Announced(NamedTuple):
    """What the head of an array says."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]


def read_npz(path: Path, spec: DataSpec) -> Source:
    """The examples of `data.dataset: {npz: ...}`.

    Raises:
        DataError: if the file is broken, holds objects, or its arrays are no data set.
    """
    dataset = spec.dataset
    assert isinstance(dataset, NpzFile)
    origin = Origin("npz", dataset.npz, dataset.task, "save")
    parts: dict[str, dict[str, Any]] = {}
    with _opened(path) as (file, names):
        check_unpacked(path, sum(file.getinfo(f"{name}.npy").file_size for name in names))
        for name, (split, kind) in names.items():
            if split != "test" or spec.test != 0:
                parts.setdefault(split, {})[kind] = _with_channel(kind, _read(path, file, name))
    return to_source(parts, origin)


def read_new_arrays(path: Path) -> dict[str, np.ndarray]:
    """The array `x` of new examples, and `y` and `weight` where there are some.

    Raises:
        DataError: if the file is broken, holds objects, or has no `x`.
    """
    with _opened(path, _new_names) as (file, names):
        check_unpacked(path, sum(file.getinfo(f"{name}.npy").file_size for name in names))
        return {kind: _with_channel(kind, _read(path, file, kind)) for kind in names}


def head(path: Path, spec: DataSpec) -> Head:
    """The shapes and types of the arrays.

    Raises:
        DataError: if the file is broken or holds objects.
    """
    found = []
    with _opened(path) as (file, names):
        for name in names:
            with file.open(f"{name}.npy") as stream:
                announced = _announced(path, name, stream)
            found.append(f"{name} {list(announced.shape)} {announced.dtype.name}")
    return Head(f"{spec.dataset.npz}: {', '.join(found)}")


@contextmanager
def _opened(
    path: Path, names_of: Callable[[Path, list[str]], Mapping[str, tuple[str, str]]] | None = None
) -> Iterator[tuple[zipfile.ZipFile, Mapping[str, tuple[str, str]]]]:
    """The file, and the arrays that make a data set: the split and the kind of each."""
    try:
        with zipfile.ZipFile(path) as file:
            yield file, (names_of or _names)(path, [*file.namelist()])
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror or error}. Check its permissions."
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        # A RuntimeError is one of a password, or of a kind of packing.
        why = cut(" ".join(str(error).split()), 200)
        raise DataError(f"{path}: is no NPZ file, or damaged ({why}): save it again.") from None


def _names(path: Path, members: list[str]) -> dict[str, tuple[str, str]]:
    known = {
        f"{kind}{end}": (split, kind)
        for split, ends in _ENDS.items()
        for end in ends
        for kind in _KINDS
    }
    arrays = [member.removesuffix(".npy") for member in members if member.endswith(".npy")]
    found = {name: known[name] for name in arrays if name in known}
    if {("train", "x"), ("train", "y")} <= {*found.values()}:
        if len({*found.values()}) < len(found) or len({*arrays}) < len(arrays):
            raise DataError(f"{path}: holds an array twice: keep one of {', '.join(found)}.")
        return found
    names = cut(", ".join(arrays) or "no array", 100)
    raise DataError(
        f"{path}: holds {names}, and a data set is arrays x and y (and weight, x_validation, "
        "y_validation, x_test, y_test where there are some): save them by these names."
    )


def _new_names(path: Path, members: list[str]) -> dict[str, tuple[str, str]]:
    found = {kind: ("train", kind) for kind in _KINDS if f"{kind}.npy" in members}
    if "x" not in found:
        raise DataError(f"{path}: has no array x: save the new examples by this name.")
    return found


def _announced(path: Path, name: str, stream: Any) -> _Announced:
    from numpy.lib import format as npy  # `hpo check` of other formats does without it

    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    found = _Announced(*read(stream))
    if found.dtype.hasobject:
        raise DataError(
            f"{path}: {name} holds Python objects, which may run code when they are read: save "
            "it as an array of numbers or texts."
        )
    if found.dtype.names is not None:
        raise DataError(f"{path}: {name} holds records: save an array for each of their fields.")
    return found


def _read(path: Path, file: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array, for which no more memory is taken than the file says that it holds."""
    import numpy as np

    from hpo.data import mapped

    member = f"{name}.npy"
    with file.open(member) as stream:
        shape, is_fortran, dtype = _announced(path, name, stream)
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=1) < 0 or size > file.getinfo(member).file_size:
            raise DataError(
                f"{path}: {name} says that it is {list(shape)} {dtype.name}, more than the file "
                "holds: save it again."
            )
        array = mapped.empty(tuple(reversed(shape)) if is_fortran else tuple(shape), dtype)
        data, found = array.reshape(-1).view(np.uint8) if size else np.zeros(0, np.uint8), 0
        while found < size and (piece := stream.read(min(_PIECE, size - found))):
            data[found : found + len(piece)] = np.frombuffer(piece, np.uint8)
            found += len(piece)
        stream.read(1)  # at its end the checksum is compared
    if found < size:
        raise DataError(f"{path}: {name} ends early: save it again.")
    return array.T if is_fortran else array


def _with_channel(kind: str, array: np.ndarray) -> np.ndarray:
    """Grey images `[rows, height, width]` with their one channel."""
    return array[..., None] if kind == "x" and array.dtype == "uint8" and array.ndim == 3 else array
