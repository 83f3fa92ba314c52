"""Objectives, constraints and the rules that end a search early."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from hpo.registry import METRICS
from hpo.spec.marks import Count, Names, Spec
from hpo.spec.words import count_text

Direction = Literal["maximize", "minimize"]
# The metric of `train.gradient_norms`; those of layers follow after a slash.
GRADIENT_NORM = "gradient_norm"

Finite = Annotated[float, Field(allow_inf_nan=False)]

# What a trial costs, as the engine measures it: see `hpo/engine/programs/footprint.py`.
COSTS = (
    *("parameters", "flops", "macs", "model_bytes"),
    *("train_seconds", "energy_joules", "latency_ms"),
)

# Those that a trial's model decides, whatever the machine. Its shape decides them before it trains;
# only the bytes of a model with zeros need its weights.
KNOWN_COSTS = frozenset({"parameters", "flops", "macs", "model_bytes"})


def known_metrics() -> tuple[str, ...]:
    """Every metric of hpo that an objective or a constraint may name; own code has others."""
    return (*METRICS, *COSTS)


def reference(written: Any) -> Any:
    """The text that names own code, from `{python: metrics.py:top3}`; other values unchanged.

    The mapping may hold the hash of the code's file, as that of an exported spec does.

    Raises:
        ValueError: for a mapping with other keys.
    """
    if not isinstance(written, Mapping):
        return written
    text, sha256 = written.get("python"), written.get("sha256", "")
    is_known = written.keys() <= {"python", "sha256"} and isinstance(sha256, str)
    if not is_known or not isinstance(text, str) or ":" not in text:
        raise ValueError("names no metric: write {python: metrics.py:top3} and no other key")
    return text


def as_written(metric: Any) -> Any:
    """A metric as a spec names it: `{python: metrics.py:top3}` for code of the user's."""
    return {"python": metric} if is_own(metric) else metric


def is_own(metric: Any) -> bool:
    """Whether a metric is a function of the user's own, as its reference says."""
    return isinstance(metric, str) and ":" in metric


def name_of(metric: str) -> str:
    """The name under which a metric is reported: of `metrics.py:top3`, `top3`."""
    return metric.rpartition(":")[2].rpartition(".")[2]


MetricName = Annotated[
    str,
    BeforeValidator(reference),
    PlainSerializer(as_written),
    Names(known_metrics, or_code=True),
]


class Objective(Spec):
    """A metric that decides, and its direction: `{maximize: accuracy}`.

    `reference` is a value of it so bad that no trial worse than that counts for the hypervolume.
    """

    maximize: MetricName | None = None
    """A metric of which more is better."""
    minimize: MetricName | None = None
    """A metric of which less is better."""
    reference: Finite | None = None
    """A value so bad that no worse trial counts for the hypervolume."""

    @model_validator(mode="after")
    def _names_one_metric(self) -> Objective:
        if (self.maximize is None) == (self.minimize is None):
            raise ValueError("needs one of maximize and minimize: write {maximize: accuracy}")
        return self

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return name_of(self.code)

    @property
    def code(self) -> str:
        """The reference to the code of the metric, if it is the user's own; else its name."""
        return self.maximize or self.minimize or ""

    @property
    def direction(self) -> Direction:
        """Which way is better."""
        return "maximize" if self.maximize else "minimize"

    @property
    def is_backwards(self) -> bool:
        """Whether it goes against the better direction of the metric, such as a low accuracy."""
        if self.metric in METRICS:
            return self.direction != METRICS[self.metric].direction
        return self.metric in COSTS and self.direction == "maximize"

    def loss(self, value: float) -> float:
        """The metric's value as search code wants it: smaller is better."""
        return -value if self.maximize else value

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"


class Constraint(Spec):
    """A bound that the winner keeps: `{metric: parameters, at_most: 50000}`."""

    metric: MetricName
    """The metric that is bounded."""
    at_most: Finite | None = None
    """The highest value that is allowed."""
    at_least: Finite | None = None
    """The lowest value that is allowed."""

    @property
    def name(self) -> str:
        """The name under which the metric is reported."""
        return name_of(self.metric)

    @model_validator(mode="after")
    def _bounds_one_metric(self) -> Constraint:
        if self.at_most is None and self.at_least is None:
            raise ValueError(
                f"needs at_most or at_least: write {{metric: {self.name}, at_most: 1}}"
            )
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise ValueError(
                f"at_least ({self.at_least:g}) must not be above at_most ({self.at_most:g})"
            )
        return self

    def excess(self, value: float) -> float:
        """By how much `value` breaks the bound, as a share of it; negative where it keeps it.

        A bound of 0 counts as 1; a value that is no number breaks every bound.
        """
        if math.isnan(value):
            return math.inf
        excesses = []
        if self.at_most is not None:
            excesses.append((value - self.at_most) / (abs(self.at_most) or 1))
        if self.at_least is not None:
            excesses.append((self.at_least - value) / (abs(self.at_least) or 1))
        return max(excesses)

    def __str__(self) -> str:
        low = "" if self.at_least is None else f" at least {self.at_least:g}"
        high = "" if self.at_most is None else f" at most {self.at_most:g}"
        return f"{self.name}{low}{' and' if low and high else ''}{high}"


class StopSpec(Spec):
    """Rules that end a study before its trials and its timeout do.

    A trial counts once it is trained in full or has diverged.
    """

    target: Finite | None = None
    """Stop once a trial trained in full reaches this value of the first objective."""
    no_improvement: Count | None = None
    """Stop after this many trials in a row, trained in full or diverged, without a better one."""
    epochs: Count | None = None
    """Stop after this many epochs of all trials together."""

    def __str__(self) -> str:
        rules = []
        if self.target is not None:
            rules.append(f"at {self.target:g}")
        if self.no_improvement is not None:
            rules.append(
                f"after {count_text(self.no_improvement, 'trial')} in full without a better one"
            )
        if self.epochs is not None:
            rules.append(f"after {count_text(self.epochs, 'epoch')}")
        return ", ".join(rules)


@dataclass(frozen=True)
class Goal:
    """The objectives, the first of which leads, and the constraints of a search.

    Schedulers and the choice of a winner follow the first objective.
    """

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()

    @property
    def first(self) -> Objective:
        """The objective that schedulers follow, a metric of every epoch."""
        return self.objectives[0]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that an objective or a constraint names, once."""
        names = [o.metric for o in self.objectives] + [c.name for c in self.constraints]
        return tuple(dict.fromkeys(names))

    @property
    def codes(self) -> tuple[str, ...]:
        """The same metrics, each of the user's own as the reference to its code."""
        codes = [o.code for o in self.objectives] + [c.metric for c in self.constraints]
        return tuple(dict.fromkeys(codes))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about the objectives for the user, as sentences."""
        return tuple(
            f"{objective.direction.removesuffix('e')}ing {objective.metric} selects worse models; "
            "proceeding as written"
            for objective in self.objectives
            if objective.is_backwards
        )

    def values(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The objectives' values, smaller is better; of a trial that has all of the metrics."""
        return tuple(o.loss(metrics[o.metric]) for o in self.objectives)

    def violation(self, metrics: Mapping[str, float]) -> float:
        """By how much the constraints on these metrics are broken, in all; 0 where none is."""
        return sum(
            max(0.0, constraint.excess(metrics[constraint.name]))
            for constraint in self.constraints
            if constraint.name in metrics
        )
