"""Files of named arrays in the safetensors format, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

import ml_dtypes
import numpy as np

_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


def encoded(leaves: Mapping[str, np.ndarray]) -> list[bytes]:
    """The pieces of a file that holds these arrays."""
    header: dict[str, object] = {}
    chunks: list[bytes] = []
    start = 0
    for name, leaf in leaves.items():
        dtype = leaf.dtype.newbyteorder("<")
        content = leaf.astype(dtype, copy=False).tobytes()
        end = start + len(content)
        header[name] = {
            "dtype": _CODES[dtype],
            "shape": list(leaf.shape),
            "data_offsets": [start, end],
        }
        chunks.append(content)
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # aligns the data
    return [len(text).to_bytes(8, "little"), text, *chunks]


def decoded(content: bytearray) -> dict[str, np.ndarray]:
    """The arrays of a file.

    Raises:
        ValueError, LookupError, TypeError, AttributeError, RecursionError: for another file.
    """
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    leaves = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        data = memoryview(content)[8 + size + start : 8 + size + end]
        leaves[name] = np.frombuffer(data, _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return leaves


def array_names(file: IO[bytes]) -> list[str]:
    """The names of the arrays of a file, by its head alone.

    Raises:
        ValueError, TypeError, AttributeError, RecursionError: for another file.
    """
    size = int.from_bytes(file.read(8), "little")
    return [*json.loads(file.read(size)).keys()]


def write_whole(temporary: str, name: str, chunks: list[bytes], folder: int) -> None:
    """Write a file of an open `folder` under another name, then rename it.

    Raises:
        OSError: if it cannot be written; nothing is left behind.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with suppress(FileNotFoundError):  # left by a killed process of the same number
        os.unlink(temporary, dir_fd=folder)
    try:
        with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=folder), "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        # A rename is safely on disk only once its folder is synced.
        os.fsync(folder)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
