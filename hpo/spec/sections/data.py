"""What a spec says about its data."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hpo.spec.marks import Count, Share, Spec, Static

Task = Literal["classification", "regression"]

# The task of each named data set: known here so that `hpo check` need not load one.
NAMED_DATASETS: dict[str, Task] = {
    "breast_cancer": "classification",
    "diabetes": "regression",
    "digits": "classification",
    "fashion_mnist": "classification",
    "iris": "classification",
    "mnist": "classification",
    "wine": "classification",
}


_UNIT_BYTES = {
    **{f"{prefix}B": 1000**power for power, prefix in enumerate(["", "K", "M", "G", "T"])},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate(["K", "M", "G", "T"], start=1)},
}


def size_bytes(value: Any) -> Any:
    """Bytes from a size such as `2GiB`, `500MB` or `1.5 GB`; "auto" and numbers stay.

    Raises:
        ValueError: for text that is not a size.
    """
    if not isinstance(value, str) or value == "auto":
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?i?B)", value)
    if found is None or found[2] not in _UNIT_BYTES:
        raise ValueError("is not a size: write 500MB, 2GiB, a number of bytes or auto")
    return int(float(found[1]) * _UNIT_BYTES[found[2]])


def size_text(size: int) -> str:
    """A number of bytes as people write it, rounded up: `1.5GiB`."""
    power = min(max(size, 1).bit_length() - 1, 39) // 10
    return f"{math.ceil(10 * size / 1024**power) / 10:g}{('B', 'KiB', 'MiB', 'GiB')[power]}"


class CsvFile(Spec):
    """A table with a header, one row an example; `.gz` files are read as they are."""

    csv: str  # a path, relative to the spec's folder, then to HPO_DATA
    target: str
    task: Literal["auto", "classification", "regression"] = "auto"
    drop: Annotated[tuple[str, ...], Field(strict=False)] = ()
    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    # A column of weights, one a row, for the loss and the metrics; it is no feature.
    weight: str | None = None


class IdxFolder(Spec):
    """A folder with the four IDX files of MNIST and its kin, gzipped or not."""

    idx: str  # a path, relative to the spec's folder, then to HPO_DATA


class DataSpec(Spec):
    """The data set, its splits, and how examples reach the model."""

    dataset: str | CsvFile | IdxFolder
    rows: Count | None = None  # train on a stratified part of the set, of this many rows
    validation: Share | Count = 0.2  # a share of the rows, or a count
    # "auto": the set's own test files where it has them, else a fifth; 0 for none.
    test: Literal["auto"] | Share | Count = "auto"
    split_seed: Annotated[int, Field(ge=0)] = 0
    batch_size: Static[Count] = 64
    # It compiles nothing by itself, but lanes share one copy of the data, so each way is a program.
    normalize: Static[Literal["standard", "minmax", "none"]] = "standard"
    # Of each device's memory, for data; a larger set is streamed in chunks, with the same results.
    # "auto": half of the memory.
    device_budget: Annotated[Literal["auto"] | Count, BeforeValidator(size_bytes)] = "auto"
