"""Rows that were encoded in another process, with what a network must know of their encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo.data.dataset import DataSet


def encoding_of(data: DataSet) -> dict[str, Any]:
    """What a network must know of the features of a data set, as plain values."""
    return {"ids": data.vocabulary, "categories": [*data.categories], "numbers": data.numbers}


@dataclass(frozen=True, eq=False)
class EncodedRows(DataSet):
    """A data set without its transform; `encoding` is that of `encoding_of`."""

    encoding: Mapping[str, Any] = field(default_factory=dict)

    @property
    def vocabulary(self) -> int:
        """The number of different ids in `x`; 0 if `x` holds features."""
        return int(self.encoding["ids"])

    @property
    def categories(self) -> tuple[int, ...]:
        """The number of different codes in each of the first columns of `x`."""
        return tuple(self.encoding["categories"])

    @property
    def numbers(self) -> int | None:
        """How many features of a table, the first ones after codes, are scaled; else None."""
        found: int | None = self.encoding["numbers"]
        return found
