"""Folders of four IDX files, the format of MNIST and similar sets.

A file holds a magic number, the length of each dimension and the bytes, all big endian (LeCun,
Cortes and Burges 1998, http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hpo.data.files import most_bytes, opened
from hpo.data.head import Head
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec

if TYPE_CHECKING:
    import numpy as np

TRAIN_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST_FILES = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

# The third byte stands for unsigned bytes, the fourth is the number of dimensions.
IMAGES, LABELS = 0x0803, 0x0801

_PIECE = 1 << 20

_OWN_CURE = "put the file there, or correct data.dataset.idx."
_TEST_CURE = "give the test files that belong to the training files, or write data.test: 0."


def read_idx(folder: Path, spec: DataSpec) -> Source:
    """The examples of `data.dataset: {idx: ...}`, with those of its test files if it has some."""
    with_test = spec.test != 0 and has_test_files(folder)
    return read_folder(folder, with_test=with_test, cure=_OWN_CURE)


def read_folder(folder: Path, *, with_test: bool, cure: str) -> Source:
    """The images and labels in `folder`, gzipped or not.

    `with_test` reads the test files too. `cure` ends the message about a missing file.

    Raises:
        DataError: if a file is missing or broken, or files do not belong together.
    """
    import numpy as np  # `hpo check` reads headers without it

    images, labels = _read_pair(folder, TRAIN_FILES, cure)
    values, numbers = np.unique(labels, return_inverse=True)
    if len(values) == 1:
        raise DataError(
            f"{folder}: every training label is {values[0]}: give labels of at least two classes."
        )
    source = Source(
        x=images[..., np.newaxis],
        y=numbers.astype(np.int32),
        target=f"{folder}: the training labels",
        classes=tuple(str(value) for value in values),
    )
    if not with_test:
        return source
    images, labels = _read_pair(folder, TEST_FILES, cure)
    if images.shape[1:] != source.x.shape[1:3]:
        sizes = " and ".join(
            "x".join(map(str, shape)) for shape in (images.shape[1:], source.x.shape[1:3])
        )
        raise DataError(
            f"{folder}: test and training images differ in size ({sizes}): {_TEST_CURE}"
        )
    unknown = np.setdiff1d(labels, values)
    if len(unknown):
        raise DataError(
            f"{folder}: the test labels hold {unknown[0]}, the training labels do not: {_TEST_CURE}"
        )
    test = replace(
        source, x=images[..., np.newaxis], y=np.searchsorted(values, labels).astype(np.int32)
    )
    return replace(source, test=test)


def files(folder: Path) -> list[Path]:
    """The files of the set that are in `folder`."""
    found = (_find(folder, name) for name in (*TRAIN_FILES, *TEST_FILES))
    return [path for path in found if path is not None]


def head(folder: Path, spec: DataSpec) -> Head:
    """What the names and headers of the files in a folder say.

    Raises:
        DataError: if a file is missing or broken, or files do not belong together.
    """
    named, seen = [TRAIN_FILES], []
    if spec.test != 0 and has_test_files(folder):
        named.append(TEST_FILES)
    for names in named:
        paths = _paths(folder, names, _OWN_CURE)
        shapes = []
        for path, magic in zip(paths, (IMAGES, LABELS), strict=True):
            with opened(path) as stream:
                shapes.append(_read_shape(path, stream, magic))
        _check_lengths(folder, paths, shapes[0][0], shapes[1][0])
        rows, height, width = shapes[0]
        seen.append(f"{rows:,} images of {height}x{width}")
    return Head(f"{folder}: {' to train and '.join(seen)}{' to test' if len(seen) > 1 else ''}")


def look(folder: Path) -> tuple[tuple[int, int], np.ndarray]:
    """Height and width of the training images in `folder`, and the label of each.

    Raises:
        DataError: if a file is missing or broken, or files do not belong together.
    """
    paths = _paths(folder, TRAIN_FILES, _OWN_CURE)
    with opened(paths[0]) as stream:
        rows, height, width = _read_shape(paths[0], stream, IMAGES)
    labels = read_array(paths[1], LABELS)
    _check_lengths(folder, paths, rows, len(labels))
    return (height, width), labels


def has_test_files(folder: Path) -> bool:
    """Whether `folder` has test images or labels of its own."""
    return any(_find(folder, name) is not None for name in TEST_FILES)


def read_array(path: Path, magic: int) -> np.ndarray:
    """The uint8 array in an IDX file that must have this magic number.

    No more is read than the header announces, and nothing if so much cannot follow.

    Raises:
        DataError: if the file is truncated, of another kind, or not a gzip file despite its name.
    """
    import numpy as np

    with opened(path) as stream:
        shape = _read_shape(path, stream, magic)
        data = np.empty(math.prod(shape), np.uint8)
        found = 0
        while found < len(data) and (read := _read_into(stream, data[found : found + _PIECE])):
            found += read
        rest = len(stream.read(_PIECE))
    if found < len(data) or rest:
        state = "is too long" if rest else "is truncated"
        follow = f"more than {found + rest - 1}" if rest == _PIECE else str(found + rest)
        raise DataError(
            f"{path}: {state}: its header announces {len(data)} bytes and {follow} follow. "
            "Download the file again."
        )
    return data.reshape(shape)


def _read_shape(path: Path, stream: BinaryIO, magic: int) -> tuple[int, ...]:
    """The shape in the header of an IDX file."""
    dimensions = magic & 0xFF
    size = 4 + 4 * dimensions
    header = stream.read(size)
    if len(header) < size:
        raise DataError(
            f"{path}: is truncated: {len(header)} bytes are less than an IDX header. Download it "
            "again."
        )
    found, *shape = struct.unpack(f">{1 + dimensions}I", header)
    if found != magic:
        raise DataError(
            f"{path}: starts with {found:#010x} where IDX files of {dimensions} dimensions have "
            f"{magic:#010x}: this is another kind of file. Replace it with the right one."
        )
    announced = math.prod(shape)
    if not announced:
        raise DataError(f"{path}: holds no examples. Download the file again.")
    most = most_bytes(path) - (0 if path.suffix == ".gz" else size)
    if announced > most:
        follow = f"at most {most} can" if path.suffix == ".gz" else str(most)
        raise DataError(
            f"{path}: is truncated: its header announces {announced} bytes and {follow} follow. "
            "Download the file again."
        )
    return tuple(shape)


def _read_into(stream: BinaryIO, some: np.ndarray) -> int:
    """Fill an array with the next bytes; how many there were."""
    import numpy as np

    piece = stream.read(len(some))
    some[: len(piece)] = np.frombuffer(piece, np.uint8)
    return len(piece)


def _read_pair(folder: Path, names: tuple[str, str], cure: str) -> tuple[np.ndarray, np.ndarray]:
    paths = _paths(folder, names, cure)
    images, labels = read_array(paths[0], IMAGES), read_array(paths[1], LABELS)
    _check_lengths(folder, paths, len(images), len(labels))
    return images, labels


def _paths(folder: Path, names: tuple[str, str], cure: str) -> list[Path]:
    paths = []
    for name in names:
        path = _find(folder, name)
        if path is None:
            raise DataError(f"no file {name}.gz (or {name}) in {folder}: {cure}")
        paths.append(path)
    return paths


def _check_lengths(folder: Path, paths: Sequence[Path], images: int, labels: int) -> None:
    if images != labels:
        raise DataError(
            f"{folder}: {paths[0].name} holds {images} images and {paths[1].name} "
            f"{labels} labels: give files that belong together."
        )


def _find(folder: Path, name: str) -> Path | None:
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)
