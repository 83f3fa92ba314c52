"""The arrays of a trained model in as few bytes as `compression` lets them have.

A weight of few bits takes those bits, beside the scales of its array. Where weights are cut, a bit
of each says whether it is 0, and the others alone follow. Anything else lies as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpo.engine.training.compression.quantisation import bits_by_name, is_quantised
from hpo.engine.training.techniques.layers import is_kernel
from hpo.spec.sections.compression.section import Compression

_MOST_AXES, _MOST_NUMBERS = 16, 1 << 40


@dataclass(frozen=True)
class Packing:
    """How an array is packed: the bits of a weight (0 for those of its type), and its zeros."""

    name: str
    shape: tuple[int, ...]
    type: str = "float32"
    bits: int = 0
    by_channel: bool = False
    has_bitmap: bool = False

    @classmethod
    def from_plain(cls, plain: Any) -> Packing:
        """That of a JSON object.

        Raises:
            ValueError: for one that `to_plain` has not written.
            TypeError: likewise.
        """
        found = cls(**{**plain, "shape": tuple(plain["shape"])})
        sizes = all(isinstance(size, int) and size >= 0 for size in found.shape)
        if not sizes or len(found.shape) > _MOST_AXES or math.prod(found.shape) > _MOST_NUMBERS:
            raise ValueError(f"{found.name} has the shape {list(found.shape)}")
        if found.bits not in (0, *range(2, 9)) or np.dtype(found.type).hasobject:
            raise ValueError(f"{found.name} has {found.bits} bits of {found.type}")
        return found

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "shape": [*self.shape]}

    @property
    def scales(self) -> int:
        """How many scales it has."""
        if not self.bits:
            return 0
        return self.shape[-1] if self.by_channel else 1

    @property
    def code_bits(self) -> int:
        """The bits of each number in the file; of two values without a 0, one is enough."""
        if not self.bits:
            return 8 * np.dtype(self.type).itemsize
        return (2 * _most(self.bits) - self.has_bitmap).bit_length()

    def size(self, nonzero: int | None = None) -> int:
        """The bytes of the array; with a bitmap, `nonzero` of its numbers are not 0."""
        count = math.prod(self.shape)
        bitmap = 0
        if self.has_bitmap:
            assert nonzero is not None, "zeros are not packed"
            bitmap, count = _bytes(count), nonzero
        return 4 * self.scales + bitmap + _bytes(count * self.code_bits)


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree of mappings with their paths."""
    if isinstance(tree, Mapping):
        for name, inner in tree.items():
            yield from leaves(inner, f"{path}/{name}" if path else str(name))
    elif tree is not None:
        yield path, tree


def packings(compression: Compression, arrays: Mapping[str, Any]) -> list[Packing]:
    """How the arrays of a model are packed: `params/head/kernel` and so on, or their shapes."""
    weights, params = compression.weights, "params/"
    kernels = [name for name, a in arrays.items() if name.startswith(params) and is_kernel(name, a)]
    bits = bits_by_name(weights, [name.removeprefix(params) for name in kernels])
    found = []
    for name, array in arrays.items():
        packing = Packing(name, tuple(array.shape), np.dtype(array.dtype).name)
        if name in kernels:
            packing = replace(packing, has_bitmap=compression.has_zeros)
        if name in kernels and is_quantised(weights):
            own = bits[name.removeprefix(params)]
            packing = replace(packing, bits=own, by_channel=weights.scales == "channel")
        found.append(packing)
    return found


def packed_bytes(packed: Iterable[Packing], arrays: Mapping[str, np.ndarray]) -> int:
    """The bytes of these arrays as packed; those without a bitmap may be shapes alone."""
    return sum(
        one.size(int(np.count_nonzero(arrays[one.name])) if one.has_bitmap else None)
        for one in packed
    )


def pack(packing: Packing, array: np.ndarray) -> bytes:
    """The bytes of an array.

    Raises:
        ValueError: for weights that are not whole numbers times a scale.
    """
    flat, parts = array.reshape(-1), []
    if packing.bits:
        most = _most(packing.bits)
        axes = tuple(range(array.ndim - 1)) if packing.by_channel else None
        # The largest weight has the largest code, and is its exact product with the scale.
        scales = np.abs(array).max(axes, keepdims=True) / np.float32(most)
        codes = np.rint(array / np.where(scales == 0, 1, scales))
        if not np.array_equal(codes * scales, array):
            raise ValueError(f"{packing.name} is not of {packing.bits} bits")
        flat = codes.astype(np.int16).reshape(-1)
        parts.append(scales.astype("<f4").tobytes())
    if packing.has_bitmap:
        kept = flat != 0
        parts.append(np.packbits(kept).tobytes())
        flat = flat[kept]
    if not packing.bits:
        return b"".join([*parts, _little(flat).tobytes()])
    # Without zeros, the numbers above 0 follow those below it.
    codes = flat + most - (flat > 0) * packing.has_bitmap
    digits = codes[:, None] >> np.arange(packing.code_bits) & 1
    return b"".join([*parts, np.packbits(digits.astype(bool)).tobytes()])


def unpacked(packed: Iterable[Packing], data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a file by their names.

    Raises:
        ValueError: for bytes that are not those of such arrays.
    """
    start = 0
    for packing in packed:
        array, start = _unpack(packing, data, start)
        yield packing.name, array
    if start != len(data):
        raise ValueError(f"has {len(data)} bytes instead of {start}")


def _unpack(packing: Packing, data: bytes, start: int) -> tuple[np.ndarray, int]:
    """The array that starts at a byte, and where the next one starts."""

    def taken(kind: Any, count: int) -> np.ndarray:
        nonlocal start
        if start + count * np.dtype(kind).itemsize > len(data):
            raise ValueError(f"ends before {packing.name} does")
        if not count:
            return np.zeros(0, kind)  # NumPy reads no empty buffer
        found = np.frombuffer(data, kind, count, start)
        start += found.nbytes
        return found

    count, width = math.prod(packing.shape), packing.code_bits
    scales = taken("<f4", packing.scales)
    kept: Any = slice(None)
    if packing.has_bitmap:
        kept = np.unpackbits(taken(np.uint8, _bytes(count)), count=count).astype(bool)
    number = int(kept.sum()) if packing.has_bitmap else count
    if packing.bits:
        digits = np.unpackbits(taken(np.uint8, _bytes(number * width)), count=number * width)
        numbers = digits.reshape(number, width) @ (1 << np.arange(width)) - _most(packing.bits)
        numbers += (numbers >= 0) * packing.has_bitmap
    else:
        numbers = taken(np.dtype(packing.type).newbyteorder("<"), number)
    found = np.zeros(count, np.dtype(packing.type))
    found[kept] = numbers
    found = found.reshape(packing.shape)
    return (found * scales.astype(found.dtype) if packing.bits else found), start


def _most(bits: int) -> int:
    """The largest whole number of these bits."""
    return 2 ** (bits - 1) - 1


def _bytes(bits: int) -> int:
    return -(-bits // 8)


def _little(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("<"))
