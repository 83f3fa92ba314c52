"""Folders of four IDX files, the format of MNIST and similar sets.

A file holds a magic number, the length of each dimension and the bytes, all big endian (LeCun,
Cortes and Burges 1998, http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec

TRAIN_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST_FILES = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

# The third byte stands for unsigned bytes, the fourth is the number of dimensions.
_IMAGES, _LABELS = 0x0803, 0x0801

_TEST_CURE = "give the test files that belong to the training files, or write data.test: 0."


def read_idx(folder: Path, spec: DataSpec) -> Source:
    """The examples of `data.dataset: {idx: ...}`, with those of its test files if it has some."""
    cure = "put the file there, or correct data.dataset.idx."
    return read_folder(folder, with_test=spec.test != 0 and has_test_files(folder), cure=cure)


def read_folder(folder: Path, *, with_test: bool, cure: str) -> Source:
    """The images and labels in `folder`, gzipped or not.

    `with_test` reads the test files too. `cure` ends the message about a missing file.

    Raises:
        DataError: if a file is missing or broken, or files do not belong together.
    """
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


def has_test_files(folder: Path) -> bool:
    """Whether `folder` has test images or labels of its own."""
    return any(_find(folder, name) is not None for name in TEST_FILES)


def read_array(path: Path, magic: int) -> np.ndarray:
    """The uint8 array in an IDX file that must have this magic number.

    Raises:
        DataError: if the file is truncated, of another kind, or not a gzip file despite its name.
    """
    data = _read_bytes(path)
    dimensions = magic & 0xFF
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise DataError(
            f"{path}: is truncated: {len(data)} bytes are less than an IDX header. Download it "
            "again."
        )
    found, *shape = struct.unpack(f">{1 + dimensions}I", data[:start])
    if found != magic:
        raise DataError(
            f"{path}: starts with {found:#010x} where IDX files of {dimensions} dimensions have "
            f"{magic:#010x}: this is another kind of file. Replace it with the right one."
        )
    if len(data) - start != math.prod(shape):
        state = "is truncated" if len(data) - start < math.prod(shape) else "is too long"
        raise DataError(
            f"{path}: {state}: its header announces {math.prod(shape)} bytes and "
            f"{len(data) - start} follow. Download the file again."
        )
    if not data[start:]:
        raise DataError(f"{path}: holds no examples. Download the file again.")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _read_pair(folder: Path, names: tuple[str, str], cure: str) -> tuple[np.ndarray, np.ndarray]:
    paths = []
    for name in names:
        path = _find(folder, name)
        if path is None:
            raise DataError(f"no file {name}.gz (or {name}) in {folder}: {cure}")
        paths.append(path)
    images, labels = read_array(paths[0], _IMAGES), read_array(paths[1], _LABELS)
    if len(images) != len(labels):
        raise DataError(
            f"{folder}: {paths[0].name} holds {len(images)} images and {paths[1].name} "
            f"{len(labels)} labels: give files that belong together."
        )
    return images, labels


def _find(folder: Path, name: str) -> Path | None:
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except EOFError:
        raise DataError(
            f"{path}: is truncated: the gzip data end early. Download it again."
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: is a damaged gzip file ({error}). Download it again.") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}. Check its permissions."
        ) from None
