"""The plan of a program: how its lanes are run on a device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

# How lanes are mapped: "map" runs them one after the other (a skipped lane costs nothing, and the
# bits do not depend on the number of lanes), "vmap" all at once.
Form: TypeAlias = Literal["map", "vmap"]

_CPU_LANES = 8
# Lanes of a core cost no less together than one after the other, so a sampler that learns from
# results is better served by few.
_CPU_LANES_WHEN_LEARNING = 4
_ACCELERATOR_LANES = 32


@dataclass(frozen=True)
class Plan:
    """How a program's lanes run on a device; pinned in the study at its first use."""

    form: Form
    lanes: int

    @classmethod
    def from_pin(cls, pin: Mapping[str, Any]) -> Plan:
        """The plan that a study has pinned."""
        return cls(pin["form"], pin["lanes"])

    def pin(self) -> Mapping[str, Any]:
        """The plan as a study keeps it."""
        return asdict(self)


def choose_plan(
    platform: str, lanes: int | Literal["auto"], trials: int, pools: int, is_learning: bool
) -> Plan:
    """The plan for pools of `platform` in a study of that many trials.

    `is_learning` says that the sampler learns from results, and so gains by fewer trials at once.
    """
    form: Form = "map" if platform == "cpu" else "vmap"
    if lanes != "auto":
        return Plan(form, lanes)
    if form == "vmap":
        most = _ACCELERATOR_LANES
    else:
        most = _CPU_LANES_WHEN_LEARNING if is_learning else _CPU_LANES
    return Plan(form, max(1, min(most, math.ceil(trials / pools))))
