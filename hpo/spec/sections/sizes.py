"""Sizes in bytes, as a spec has them and as people write them, and how features lie on a device."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hpo.spec.marks import Count

_UNIT_BYTES = {
    **{f"{prefix}B": 1000**power for power, prefix in enumerate(["", "K", "M", "G", "T"])},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate(["K", "M", "G", "T"], start=1)},
}

_SIZE = r"(\d+(?:\.\d+)?) ?([KMGT]?i?B)"
SizeAsWritten = Count | Annotated[str, Field(pattern=f"^{_SIZE}$")]


def size_bytes(value: Any) -> Any:
    """Bytes from a size such as `2GiB`, `500MB` or `1.5 GB`; "auto" and numbers stay.

    Raises:
        ValueError: for text that is not a size.
    """
    if not isinstance(value, str) or value == "auto":
        return value
    found = re.fullmatch(_SIZE, value)
    if found is None or found[2] not in _UNIT_BYTES:
        raise ValueError("is not a size: write 500MB, 2GiB, a number of bytes or auto")
    return int(float(found[1]) * _UNIT_BYTES[found[2]])


def size_text(size: int) -> str:
    """A number of bytes as people write it, rounded up: `1.5GiB`."""
    power = min(max(size, 1).bit_length() - 1, 39) // 10
    return f"{math.ceil(10 * size / 1024**power) / 10:g}{('B', 'KiB', 'MiB', 'GiB')[power]}"


Storage = Literal["float32", "float16", "uint8"]
DeviceBudget = Annotated[
    Literal["auto"] | Count,
    BeforeValidator(size_bytes, json_schema_input_type=Literal["auto"] | SizeAsWritten),
]
