"""A baseline in the log: a model of scikit-learn that was fitted to the data of the search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

# The name and the setting of a baseline, which no other has: `("forest", "leaves of 5")`.
BaselineKey: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Baseline:
    """The result of a baseline: metrics on the validation rows, and on the test rows.

    `seconds` is its CPU time. It was fitted to `rows` of the `rows_of` training rows. A baseline
    without metrics was cut, because its time was over, or it failed: `trouble` says why.
    """

    kind: ClassVar[str] = "baseline"
    name: str
    setting: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    test: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    rows: int = 0
    rows_of: int = 0
    trouble: str = ""

    @property
    def key(self) -> BaselineKey:
        """What tells it from the others."""
        return self.name, self.setting

    @property
    def is_cut(self) -> bool:
        """Whether its time was over before it had a result."""
        return not (self.metrics or self.trouble)

    def to_value(self) -> dict[str, Any]:
        """The event as plain values."""
        return {
            "name": self.name,
            "setting": self.setting,
            "metrics": {name: _plain(value) for name, value in self.metrics.items()},
            "test": {name: _plain(value) for name, value in self.test.items()},
            "seconds": self.seconds,
            "rows": self.rows,
            "rows_of": self.rows_of,
            "trouble": self.trouble,
        }


def baseline_from(value: Mapping[str, Any]) -> Baseline:
    """The event that `to_value` wrote.

    Raises:
        ValueError: for other values.
    """
    counts, texts = (value["rows"], value["rows_of"]), [value[n] for n in _TEXTS]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError(f"{counts} are not counts of rows")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{texts} are not texts")
    seconds = float(value["seconds"])
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{seconds} is not a time")
    metrics, test = (
        {name: float(number) for name, number in value[split].items()}
        for split in ("metrics", "test")
    )
    name, setting, trouble = texts
    return Baseline(name, setting, metrics, test, seconds, *counts, trouble)


_TEXTS = ("name", "setting", "trouble")


def _plain(number: float) -> float | str:
    # JSON has no infinity and no NaN; Python's `float` reads these words back.
    return number if math.isfinite(number) else str(float(number))
