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

from hpo.engine.models.abstract import STEPS, is_kernel
from hpo.engine.training.compression.quantisation import bits_by_name, is_quantised
from hpo.spec.sections.compression.section import Compression

_STEPS = f"params/{STEPS}/"
_MOST_AXES, _MOST_NUMBERS = 16, 1 << 40


@dataclass(frozen=True)
class Packing:
    """How an array is packed: the bits of a weight (0 for those of its type), and its zeros.

    With a table, they are the place of its value among all. Without, they are a whole number, and
    the scale is that of the array or `by_channel`.
    """

    name: str
    shape: tuple[int, ...]
    type: str = "float32"
    bits: int = 0
    by_channel: bool = False
    has_bitmap: bool = False
    has_table: bool = False

    @classmethod
    def from_plain(cls, plain: Any) -> Packing:
        """That of a JSON object.

        Raises:
            ValueError: for one that `to_plain` has not written.
            TypeError: likewise.
        """
        found = cls(**{**plain, "shape": tuple(plain["shape"])})
        if found.by_channel and not found.shape:
            raise ValueError(f"{found.name} has channels, and is one number")
        sizes = all(isinstance(size, int) and size >= 0 for size in found.shape)
        if not sizes or len(found.shape) > _MOST_AXES or math.prod(found.shape) > _MOST_NUMBERS:
            raise ValueError(f"{found.name} has the shape {list(found.shape)}")
        kind = np.dtype(found.type)
        is_known = found.bits in (range(1, 5) if found.has_table else (0, *range(2, 9)))
        is_written = kind.kind in "biuf" or found.type == "bfloat16"
        if not is_known or not is_written or kind.name != found.type:
            raise ValueError(f"{found.name} has {found.bits} bits of {found.type}")
        return found

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "shape": [*self.shape]}

    @property
    def scales(self) -> int:
        """How many scales it has, or values in all its tables."""
        if not self.bits:
            return 0
        return (self.shape[-1] if self.by_channel else 1) * (2**self.bits if self.has_table else 1)

    @property
    def code_bits(self) -> int:
        """The bits of each number in the file; of two values without a 0, one is enough."""
        if not self.bits:
            return 8 * np.dtype(self.type).itemsize
        if self.has_table:
            return self.bits
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
        if name.startswith(_STEPS):
            continue  # a kernel is packed with its steps
        packing = Packing(name, tuple(array.shape), np.dtype(array.dtype).name)
        if name in kernels:
            packing = replace(packing, has_bitmap=compression.has_zeros)
        if name in kernels and is_quantised(weights):
            packing = replace(
                packing,
                bits=bits[name.removeprefix(params)],
                by_channel=weights.scales == "channel",
                has_table=weights.name == "bases",
            )
        found.append(packing)
    return found


def packed_bytes(packed: Iterable[Packing], arrays: Mapping[str, np.ndarray]) -> int:
    """The bytes of these arrays as packed; those without a bitmap may be shapes alone."""
    return sum(
        one.size(int(np.count_nonzero(arrays[one.name])) if one.has_bitmap else None)
        for one in packed
    )


def steps_of(name: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The trained steps of an array of weights; None without."""
    return arrays.get(_STEPS + name.removeprefix("params/"))


def pack(packing: Packing, array: np.ndarray, steps: np.ndarray | None = None) -> bytes:
    """The bytes of an array, of which the `steps` may be known.

    Raises:
        ValueError: for weights that have not the bits of the packing.
    """
    flat = array.reshape(-1)
    kept = flat != 0 if packing.has_bitmap else np.ones(flat.shape, bool)
    bitmap = np.packbits(kept).tobytes() if packing.has_bitmap else b""
    if not packing.bits:
        return bitmap + _little(flat[kept]).tobytes()
    if packing.has_table:
        scales, codes = _places(packing, array)
    else:
        scales, codes = _whole_numbers(packing, array, steps)
    digits = codes.reshape(-1)[kept][:, None] >> np.arange(packing.code_bits) & 1
    return scales.astype("<f4").tobytes() + bitmap + np.packbits(digits.astype(bool)).tobytes()


def _whole_numbers(
    packing: Packing, array: np.ndarray, steps: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The scales of an array, its `steps` if known, and its whole numbers from the lowest on."""
    most = _most(packing.bits)
    axes = tuple(range(array.ndim - 1)) if packing.by_channel else None
    # The largest weight has the largest number, and is its exact product with the scale.
    largest = np.abs(array).max(axes, keepdims=True, initial=0)
    scales = largest / np.float32(most) if steps is None else steps
    numbers = np.rint(array / np.where(scales == 0, 1, scales))
    if not np.array_equal(numbers * scales, array) or (np.abs(numbers) > most).any():
        raise ValueError(f"{packing.name} is not of {packing.bits} bits")
    # Without zeros, the numbers above 0 follow those below it.
    return scales, numbers.astype(np.int64) + most - (numbers > 0) * packing.has_bitmap


def _places(packing: Packing, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tables of the values of an array, and the place of each weight in its table."""
    columns = array.reshape(-1, array.shape[-1] if packing.by_channel else 1)
    tables = np.zeros((columns.shape[1], 2**packing.bits), np.float32)
    codes = np.zeros(columns.shape, np.int64)
    for table, column, own in zip(tables, columns.T, codes.T, strict=True):
        values = np.unique(column[column != 0] if packing.has_bitmap else column)
        table[: len(values)] = values[: len(table)]
        own[:] = np.minimum(np.searchsorted(values, column), len(table) - 1)
        if not np.array_equal(table[own][column != 0], column[column != 0]):
            raise ValueError(f"{packing.name} is not of {packing.bits} bits")
    return tables, codes


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
    # No room is made for numbers that the file does not hold.
    if not packing.bits:
        plain = taken(np.dtype(packing.type).newbyteorder("<"), number)
        found = np.zeros(count, packing.type)
        found[kept] = plain
        return found.reshape(packing.shape), start
    digits = np.unpackbits(taken(np.uint8, _bytes(number * width)), count=number * width)
    found = np.zeros(count, packing.type)
    codes = digits.reshape(number, width) @ (1 << np.arange(width))
    channels = packing.shape[-1] if packing.by_channel else 1
    own = (np.arange(count) % channels)[kept]
    if packing.has_table:
        found[kept] = scales.reshape(channels, -1)[own, codes]
    else:
        numbers = codes - _most(packing.bits)
        found[kept] = (numbers + (numbers >= 0) * packing.has_bitmap) * scales[own]
    return found.reshape(packing.shape), start


def _most(bits: int) -> int:
    """The largest whole number of these bits."""
    return 2 ** (bits - 1) - 1


def _bytes(bits: int) -> int:
    return -(-bits // 8)


def _little(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("<"))
