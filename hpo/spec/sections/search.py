"""The search section of a spec: sampler, objectives and the rules that stop it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hpo.registry import SAMPLERS
from hpo.spec.file.document import KeyPath, Mistake
from hpo.spec.marks import Count, Positive, Spec
from hpo.spec.registered import Registered
from hpo.spec.sections.goal import Constraint, Goal, Objective, StopSpec
from hpo.spec.sections.scheduler import AutoScheduler, SchedulerSpec, budget_of

# More than any study runs; every trial is planned before the first one starts.
_MOST_TRIALS = 1_000_000

# Their weights take the bytes of as many models on disk.
_MOST_KEPT = 1000

_TIME = r"(\d+(?:\.\d+)?)([smhd])"
TimeAsWritten = Positive | Annotated[str, Field(pattern=f"^({_TIME})+$")]

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration_seconds(value: Any) -> Any:
    """Seconds from a duration such as `90`, `"90s"`, `"10m"` or `"1h30m"`.

    Raises:
        ValueError: for text that is not a duration.
    """
    if not isinstance(value, str):
        return value
    parts = re.findall(_TIME, value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError("is not a duration: write 90s, 10m, 1h30m or a number of seconds")
    return float(sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts))


def _baselines(written: Any) -> Any:
    """The switch, or the time, of the baselines.

    Raises:
        ValueError: for text that is not a duration.
    """
    try:
        return duration_seconds(written)
    except ValueError:
        raise ValueError("is not a time: write true, false, or one such as 90s or 2m") from None


class AutoSampler(Spec):
    """Picks by dimensions, conditions and objectives, and switches as results come in."""

    name: Literal["auto"]


class Grid(Spec):
    """Every combination of the space's choices, in a seeded order."""

    name: Literal["grid"]


class Random(Spec):
    """Independent draws (Bergstra and Bengio 2012)."""

    name: Literal["random"]


class Qmc(Spec):
    """Quasi-random points that fill the space evenly: a scrambled Sobol' sequence (Owen 1998)."""

    name: Literal["qmc"]


class Tpe(Spec):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), by Optuna.

    `multivariate` models the dimensions under one condition together, which finds what they have to
    do with each other; without it each is on its own.
    """

    name: Literal["tpe"]
    startup_trials: Count = 10
    """Random draws before the first fit."""
    multivariate: bool = True
    """Whether dimensions under one condition are modelled together."""


class Cmaes(Spec):
    """Covariance matrix adaptation (Hansen 2016) over the numbers that are always active.

    The other dimensions are searched by TPE, which begins after `startup_trials`.
    """

    name: Literal["cmaes"]
    startup_trials: Count = 10
    """Trials before TPE searches the dimensions that are not numbers or not always active."""


class Nsga(Spec):
    """Genetic search, NSGA-II (Deb et al. 2002) or NSGA-III (Deb and Jain 2014), by Optuna.

    A generation is `population` trials; by default a tenth of the study's, from 10 to 50.
    """

    name: Literal["nsga2", "nsga3"]
    population: Annotated[int, Field(ge=2)] | None = None
    """Trials of a generation; by default a tenth of `search.trials`, from 10 to 50."""


class OptunaGp(Spec):
    """Bayesian optimisation with a Gaussian process by Optuna; needs the extra `optuna_gp`."""

    name: Literal["optuna_gp"]
    startup_trials: Count = 10
    """Random draws before the first fit."""


class Surrogate(Spec):
    """Bayesian optimisation by scikit-optimize; `bayesian` is another word for `gp`."""

    name: Literal["bayesian", "gp", "forest", "extra_trees", "boosted_trees"]
    acquisition: Literal["ei", "lcb", "pi", "hedge"] = "ei"
    """How the next trial is chosen from the fit."""
    startup_trials: Count = 10
    """Random draws before the first fit."""


class CurveGp(Spec):
    """Bayesian optimisation with a Gaussian process over hparams and epochs."""

    name: Literal["curve_gp"]
    startup_trials: Count = 5
    """Random draws before the first fit."""


SamplerSpec = Annotated[Any, Registered("sampler")]


def keeping_mistakes(search: SearchSpec, rule: str) -> Iterator[Mistake]:
    """What does not go with keeping weights; `rule` may judge a trial by an earlier epoch."""
    if not search.keep_weights:
        return
    at: KeyPath = ("search", "keep_weights")
    if rule:
        text = f"keeps the last weights of a trial, and {rule} judges it by earlier ones"
        yield Mistake(at, f"{text}: write 0, or leave that out")
    if (budget := budget_of(search.scheduler)) != "epochs":
        text = f"keeps trials of one training each, and budget: {budget} trains several"
        yield Mistake(at, f"{text}: write 0, or budget: epochs")


def missing_package(spec: SamplerSpec) -> str | None:
    """The package that a sampler lacks on this machine, and the cure; None for none."""
    entry = SAMPLERS[spec.name]
    if not entry.package or find_spec(entry.package) is not None:
        return None
    package = f"'hpo-lanes[{entry.extra}]'" if entry.extra else entry.package
    text = f"{spec.name} needs the package {entry.package}, which is not installed"
    return f"{text}: pip install {package}, or use another sampler"


class SearchSpec(Spec):
    """How the space is searched, for what, and for how long."""

    sampler: SamplerSpec = AutoSampler(name="auto")
    """What proposes the next trials."""
    scheduler: SchedulerSpec = AutoScheduler(name="auto")
    """What decides which trials train on, and for how long."""
    objective: Objective | Annotated[tuple[Objective, ...], Field(min_length=1, strict=False)]
    """The metric to improve and its direction, or a list of these of which the first leads."""
    constraints: Annotated[tuple[Constraint, ...], Field(strict=False)] = ()
    """Bounds on metrics that the winner must keep."""
    cohort: Count = 1
    """Trials proposed together that share a program; with 1 each is proposed on its own."""
    trials: Annotated[Count, Field(le=_MOST_TRIALS)]
    """How many trials the study starts in all, over all its runs."""
    timeout: Annotated[
        Positive | None,
        BeforeValidator(duration_seconds, json_schema_input_type=TimeAsWritten | None),
    ] = None
    """How long the study trains in all, over all its runs: seconds, 10m or 1h30m."""
    stop: StopSpec = StopSpec()
    """What ends the study before its trials and its timeout do."""
    baselines: Annotated[
        bool | Positive,
        BeforeValidator(_baselines, json_schema_input_type=bool | TimeAsWritten),
    ] = True
    """Whether models of scikit-learn are fitted to the same rows, beside the search: by default for
    20 seconds of CPU time or a tenth of the search, whichever is longer. A time such as 2m gives
    them that much."""
    keep_weights: Annotated[int, Field(ge=0, le=_MOST_KEPT)] = 0
    """How many of the best trials have their weights and validation predictions kept beside the
    database, so that `hpo train` and `hpo ensemble` need not train them again."""
    start: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = ()
    """Configurations to try first, each from the paths of dimensions to values."""
    # Written so, because `from` is a word of Python's own.
    __annotations__["from"] = (
        "Annotated[tuple[str, ...], Field(default=(), strict=False, description="
        "'Earlier studies to learn from: names in this storage, or sqlite:///other.db#name.')]"
    )

    @property
    def goal(self) -> Goal:
        """The objectives and the constraints."""
        several = self.objective if isinstance(self.objective, tuple) else (self.objective,)
        return Goal(several, self.constraints)

    @property
    def objective_paths(self) -> tuple[KeyPath, ...]:
        """Where a spec file has each objective."""
        if not isinstance(self.objective, tuple):
            return (("search", "objective"),)
        return tuple(("search", "objective", index) for index, _ in enumerate(self.objective))

    @property
    def sources(self) -> tuple[str, ...]:
        """The earlier studies to learn from."""
        found: tuple[str, ...] = getattr(self, "from")
        return found
