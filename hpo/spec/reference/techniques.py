"""Every technique with its place in a spec, its paper, and what it costs: `hpo list techniques`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from hpo.entries import Need
from hpo.registry import OPTIMIZERS, SCHEDULES
from hpo.techniques import CIRCUMSTANCES, TECHNIQUES

# The measured costs: {"measured": what and where, "percent": {technique: {model: per cent}}}.
COSTS = "technique_costs.json"


@dataclass(frozen=True)
class Listed:
    """A technique as it is listed.

    `numbers` are its other leaves. `cost` is how many per cent more a step takes with it, for each
    model; empty where that was not measured.
    """

    name: str
    place: str
    numbers: tuple[str, ...]
    cost: dict[str, float]
    paper: str


def listed_techniques() -> tuple[Listed, ...]:
    """Every technique, then optimizers and schedules, in the order of the table."""
    percent = costs().get("percent", {})
    return tuple(
        Listed(name, place, numbers, percent.get(name, {}), paper)
        for name, place, numbers, paper in _lines()
    )


def not_with(name: str) -> tuple[str, ...]:
    """The techniques, optimizers and circumstances that one of the list does not go with."""
    return tuple(dict.fromkeys([*_excluded(name), *_excluding(name)]))


def _excluded(name: str) -> Iterator[str]:
    """What the line of a technique excludes."""
    for fact in TECHNIQUES[name].excludes if name in TECHNIQUES else ():
        if fact in CIRCUMSTANCES:
            yield fact
        elif fact == "statistics":
            yield "model.norm: batch"
        names = (*TECHNIQUES, *OPTIMIZERS)
        yield from (other for other in names if other != name and fact in _needs(other))


def _excluding(name: str) -> Iterator[str]:
    """The techniques whose lines exclude a need of this one."""
    needs = set(_needs(name))
    for other, technique in TECHNIQUES.items():
        if not needs.isdisjoint(technique.excludes):
            yield other


def _needs(name: str) -> tuple[Need, ...]:
    if name in TECHNIQUES:
        return TECHNIQUES[name].needs
    return OPTIMIZERS[name].needs if name in OPTIMIZERS else ()


def costs() -> dict[str, Any]:
    """The measured costs; empty before a measurement."""
    found = files("hpo").joinpath(COSTS)
    return dict(json.loads(found.read_text())) if found.is_file() else {}


def _lines() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    for name, technique in TECHNIQUES.items():
        place = f"{technique.place}: {technique.value}" if technique.value else technique.place
        yield name, place, technique.numbers, technique.paper
    for name, entry in OPTIMIZERS.items():
        yield name, f"optimizer.name: {name}", (), entry.paper
    for name, entry in SCHEDULES.items():
        yield name, f"optimizer.schedule.name: {name}", (), entry.paper
