"""How far a range may be widened where the spec names no limits: `adapt: true`."""

from __future__ import annotations

import math

from hpo.space import Choice, Float, Int
from hpo.spec.entries import Entry
from hpo.spec.experiment import Training
from hpo.spec.schema import field_errors, leaves_at

# Shares of its own width that a range may grow by to each side, the first that its leaf takes.
_SHARES = (1.0, 0.5, 0.25)


def limits_of(entry: Entry) -> tuple[float, float]:
    """Limits of a range: its own width (on its scale) to each side, less where the leaf ends."""
    distribution = entry.distribution
    assert not isinstance(distribution, Choice)
    return _limit(entry.path, distribution, -1), _limit(entry.path, distribution, 1)


def _limit(path: str, distribution: Float | Int, side: int) -> float:
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        low, high = math.log(low), math.log(high)
    for share in _SHARES:
        end = (low if side < 0 else high) + side * share * (high - low)
        try:
            limit = math.exp(end) if distribution.log else end
        except OverflowError:
            continue
        # Twelve digits hide the noise of exp and log, which users would see.
        limit = float(f"{limit:.12g}")
        value = round(limit) if isinstance(distribution, Int) else limit
        if (not distribution.log or value > 0) and _is_taken(path, value):
            return value
    return distribution.low if side < 0 else distribution.high


def _is_taken(path: str, value: float) -> bool:
    return math.isfinite(value) and all(
        leaf.field not in field_errors(leaf.owner, {leaf.field: value})
        for leaf in leaves_at(Training, path)
    )
