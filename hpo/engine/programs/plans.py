"""The plan of a program: how its lanes are run on a device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

# How lanes are mapped: "map" runs them one after the other, "vmap" all at once. With "map", a
# skipped lane costs nothing, and results do not depend on the number of lanes, bit for bit.
Form: TypeAlias = Literal["map", "vmap"]

_CPU_LANES = 8
# On a core, lanes take as long together as one after the other. A sampler that learns from results
# gains from fewer trials at once.
_CPU_LANES_WHEN_LEARNING = 4
_ACCELERATOR_LANES = 32
# The factor between the numbers of lanes that are tried on an accelerator.
_LANES_FACTOR = 4
_WRITTEN = "as train.form says"


@dataclass(frozen=True)
class Plan:
    """How a program's lanes run in a pool, and why; pinned in the study at its first use.

    `devices` is the number of devices that share the lanes.
    """

    form: Form
    lanes: int
    why: str = field(default="", compare=False)
    devices: int = field(default=1, compare=False)

    @property
    def together(self) -> int:
        """The lanes that train at once on a device; 0 if they train one after the other."""
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
    """The usual plan, and others to measure against it if that pays.

    `epochs` is about how many the program will train; measuring may cost a small share of them.
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
    """The plans for pools on `platform` in a study of `trials` trials.

    `is_learning` means that the sampler learns from results, and so gains from fewer trials at
    once. A given `form` is not measured against the other one.
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
