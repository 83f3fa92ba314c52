"""Every technique with its place in a spec, its paper, and what it costs: `hpo list techniques`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from hpo.registry import OPTIMIZERS, SCHEDULES
from hpo.techniques import TECHNIQUES

# The measured costs: {"measured": what and where, "percent": {technique: {model: per cent}}}.
COSTS = "technique_costs.json"


@dataclass(frozen=True)
class Listed:
    """A technique as it is listed.

    `cost` is how many per cent more a step takes with it, for each model; empty where that was not
    measured.
    """

    name: str
    place: str
    cost: dict[str, float]
    paper: str


def listed_techniques() -> tuple[Listed, ...]:
    """Every technique, then optimizers and schedules, in the order of the table."""
    percent = costs().get("percent", {})
    return tuple(
        Listed(name, place, percent.get(name, {}), paper) for name, place, paper in _lines()
    )


def costs() -> dict[str, Any]:
    """The measured costs; empty before a measurement."""
    found = files("hpo").joinpath(COSTS)
    return dict(json.loads(found.read_text())) if found.is_file() else {}


def _lines() -> Iterator[tuple[str, str, str]]:
    for name, technique in TECHNIQUES.items():
        place = f"{technique.place}: {technique.value}" if technique.value else technique.place
        yield name, place, technique.paper
    for name, entry in OPTIMIZERS.items():
        yield name, f"optimizer.name: {name}", entry.paper
    for name, entry in SCHEDULES.items():
        yield name, f"optimizer.schedule.name: {name}", entry.paper
