"""How far a range may be widened where the spec names no limits: `adapt: true`."""

from __future__ import annotations

import math
from decimal import Decimal

from hpo.space import Choice, Float, Int
from hpo.spec.experiment import Training
from hpo.spec.schema import field_errors, leaves_at
from hpo.spec.space.entries import Entry

# Shares of its own width that a range may grow by to each side, the first that its leaf takes.
_SHARES = (1.0, 0.5, 0.25)


def limits_of(entry: Entry) -> tuple[float, float]:
    """Limits of a range: its own width (on its scale) to each side, less where the leaf ends."""
    distribution = entry.distribution
    assert not isinstance(distribution, Choice)
    return _limit(entry.path, distribution, -1), _limit(entry.path, distribution, 1)


def _limit(path: str, distribution: Float | Int, side: int) -> float:
    # In decimals, as they are written: 0.1 - (0.3 - 0.1) / 2 is not 0 in binary.
    low, high = Decimal(str(distribution.low)), Decimal(str(distribution.high))
    if distribution.log:
        low, high = low.ln(), high.ln()
    for share in _SHARES:
        end = (low if side < 0 else high) + side * Decimal(share) * (high - low)
        limit = float(end.exp() if distribution.log else end)
        # Twelve digits hide the noise of exp and log, which users would see.
        limit = float(f"{limit:.12g}")
        if not math.isfinite(limit):
            continue
        value = round(limit) if isinstance(distribution, Int) else limit
        if (not distribution.log or value > 0) and _is_taken(path, value):
            return value
    return distribution.low if side < 0 else distribution.high


def _is_taken(path: str, value: float) -> bool:
    return all(
        leaf.field not in field_errors(leaf.owner, {leaf.field: value})
        for leaf in leaves_at(Training, path)
    )
