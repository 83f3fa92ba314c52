"""The plan of a program: how its lanes are run on a device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

# How lanes are mapped: "map" runs them one after the other (a skipped lane costs nothing, and the
# bits do not depend on the number of lanes), "vmap" all at once.
Form: TypeAlias = Literal["map", "vmap"]

_CPU_LANES = 8
# Lanes of a core cost no less together than one after the other, so a sampler that learns from
# results is better served by few.
_CPU_LANES_WHEN_LEARNING = 4
_ACCELERATOR_LANES = 32
# Steps between the numbers of lanes that are tried on an accelerator.
_LANES_FACTOR = 4
_WRITTEN = "as train.form says"


@dataclass(frozen=True)
class Plan:
    """How a program's lanes run in a pool, and why so; pinned in the study at its first use.

    `devices` is over how many of them the lanes are spread.
    """

    form: Form
    lanes: int
    why: str = field(default="", compare=False)
    devices: int = field(default=1, compare=False)

    @property
    def together(self) -> int:
        """How many lanes train at once on a device; 0 where one after the other."""
        return self.lanes // self.devices if self.form == "vmap" else 0

    @classmethod
    def from_pin(cls, pin: Mapping[str, Any]) -> Plan:
        """The plan that a study has pinned."""
        return cls(pin["form"], pin["lanes"], pin.get("why", ""), pin.get("devices", 1))

    def pin(self) -> Mapping[str, Any]:
        """The plan as a study keeps it."""
        return asdict(self)


@dataclass(frozen=True)
class Plans:
    """The plan that is usual, and others to be measured against it where that pays.

    `epochs` is about how many the program will train: measuring may cost a small share of that.
    """

    usual: Plan
    others: tuple[Plan, ...] = ()
    epochs: float = 0.0


def choose_plans(
    platform: str,
    lanes: int | Literal["auto"],
    trials: int,
    pools: int,
    is_learning: bool,
    epochs: float = 0.0,
    form: Form | Literal["auto"] = "auto",
) -> Plans:
    """The plans for pools of `platform` in a study of that many trials.

    `is_learning` says that the sampler learns from results, and so gains by fewer trials at once.
    A `form` that is given is not measured against another.
    """
    each = max(1, math.ceil(trials / pools))
    if platform == "cpu":
        most = _CPU_LANES_WHEN_LEARNING if is_learning else _CPU_LANES
        count = min(most, each) if lanes == "auto" else lanes
        if form != "auto":
            return Plans(Plan(form, count, _WRITTEN))
        plan = Plan("map", count, "one lane after the other, as suits a core")
        return Plans(plan, (Plan("vmap", count),) if count > 1 else (), epochs)
    count = min(_ACCELERATOR_LANES, each) if lanes == "auto" else lanes
    if form != "auto":
        return Plans(Plan(form, count, _WRITTEN))
    plan = Plan("vmap", count, "lanes side by side, as suits an accelerator")
    tried = (count * _LANES_FACTOR, count // _LANES_FACTOR) if lanes == "auto" else ()
    return Plans(plan, tuple(Plan("vmap", n) for n in tried if 1 <= n <= each), epochs)
