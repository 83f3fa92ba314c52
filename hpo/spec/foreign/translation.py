"""A file of another tool in the words of a spec."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Translation:
    """A spec, or parts of one, and what of the other file has no place in it.

    `lost` says it line by line. `targets` and `features` are the columns that the other file names,
    `types` what it says of some of them.
    """

    document: dict[str, Any] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    types: dict[str, dict[str, Any]] = field(default_factory=dict)
