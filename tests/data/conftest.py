"""Data files for the tests to read."""

import gzip
import struct

import numpy as np
import pytest


@pytest.fixture
def write_set():
    """A function that writes images and labels as IDX files of these two names."""

    def write(folder, names, images, labels, suffix=".gz"):
        folder.mkdir(exist_ok=True)
        for name, array in zip(names, (images, labels), strict=True):
            shape = np.shape(array)
            header = struct.pack(f">{1 + len(shape)}I", 0x0800 + len(shape), *shape)
            data = header + np.asarray(array, np.uint8).tobytes()
            (folder / (name + suffix)).write_bytes(gzip.compress(data) if suffix else data)

    return write
