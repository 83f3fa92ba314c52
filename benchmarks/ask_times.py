"""Times each sampler's proposals, and compares the results of `gp` with plain scikit-optimize.

1. Milliseconds per ask, one trial at a time, after 100, 1,000 and 5,000 trials. The space has 8
   dimensions: 4 real numbers, 2 whole ones, 2 choices; 3 of the numbers are logarithmic.
2. The same for scikit-optimize's own `Optimizer` with a Gaussian process, at 100 and 300 trials:
   one `tell` and one `ask`, as its manual shows.
3. The mean of the best value found on Branin, Hartmann 6 and Rosenbrock 5 by that `Optimizer` and
   by our `gp`, with equal numbers of evaluations. The seconds per trial stand beside it.

    .venv/bin/python benchmarks/ask_times.py
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from hpo.registry import SAMPLERS
from hpo.search.proposals.stack import make_sampler
from hpo.search.sampler import Sampler, Setting
from hpo.space import Choice, Dimension, Float, Int, SearchSpace
from hpo.spec.schema import variants_of
from hpo.spec.sections.scheduler import NoScheduler
from hpo.spec.sections.search import SearchSpec
from hpo.trial import HParams, Trial, TrialState

SPACE = SearchSpace(
    (
        Dimension("rate", Float(1e-5, 1e-1, log=True)),
        Dimension("decay", Float(1e-8, 1e-2, log=True)),
        Dimension("dropout", Float(0.0, 0.5)),
        Dimension("momentum", Float(0.0, 0.99)),
        Dimension("width", Int(8, 1024, log=True)),
        Dimension("depth", Int(1, 8)),
        Dimension("kind", Choice(("a", "b", "c"))),
        Dimension("norm", Choice((True, False))),
    )
)
# A grid needs steps.
STEPPED = SearchSpace(tuple(Dimension(f"x{n}", Int(1, 100)) for n in range(8)))

ASKS = 10


def loss_of(hparams: HParams) -> float:
    """A loss with one minimum; times depend little on the loss."""
    numbers = [value for value in hparams.values() if isinstance(value, int | float)]
    return sum(abs(math.log10(abs(value) + 1e-9) + 2) for value in numbers)


def sampler_of(name: str, space: SearchSpace, seed: int, trials: int) -> Sampler:
    spec = variants_of(SearchSpec, "sampler").specs[name](name=name)
    return make_sampler(spec, space, Setting(seed, trials, 1, NoScheduler(name="none")))


def ended(number: int, hparams: HParams) -> Trial:
    return Trial(number, hparams, TrialState.COMPLETE, (loss_of(hparams),))


def ask_seconds(name: str, trials: int) -> float:
    """The mean time of an ask after `trials` trials; each ask is followed by its result."""
    space = STEPPED if name == "grid" else SPACE
    drawn = sampler_of("random", space, 1, trials).ask([], trials)
    seen = [ended(number, hparams) for number, hparams in enumerate(drawn)]
    sampler = sampler_of(name, space, 0, trials)
    sampler.ask(seen, 1)  # imports, and computations that happen once
    seconds = 0.0
    for _ in range(ASKS):
        start = time.perf_counter()
        (hparams,) = sampler.ask(seen, 1)
        seconds += time.perf_counter() - start
        seen.append(ended(len(seen), hparams))
    return seconds / ASKS


def plain_dimensions(space: SearchSpace) -> list[Any]:
    from skopt.space import Categorical, Integer, Real

    dimensions: list[Any] = []
    for dimension in space.dimensions:
        match dimension.distribution:
            case Choice(values=values):
                dimensions.append(Categorical([str(value) for value in values]))
            case Float(low=low, high=high, log=log):
                dimensions.append(Real(low, high, prior="log-uniform" if log else "uniform"))
            case Int(low=low, high=high, log=log):
                dimensions.append(Integer(low, high, prior="log-uniform" if log else "uniform"))
    return dimensions


def plain_seconds(trials: int) -> float:
    """Scikit-optimize's time for a trial: one `tell`, in which it fits, and one `ask`."""
    import skopt

    drawn = sampler_of("random", SPACE, 1, trials).ask([], trials)
    points = [
        [
            str(h[d.path]) if isinstance(d.distribution, Choice) else h[d.path]
            for d in SPACE.dimensions
        ]
        for h in drawn
    ]
    losses = [loss_of(hparams) for hparams in drawn]
    optimizer = skopt.Optimizer(plain_dimensions(SPACE), "GP", acq_func="EI", random_state=0)
    optimizer.tell(points[:-1], losses[:-1])
    start = time.perf_counter()
    optimizer.tell(points[-1], losses[-1])
    optimizer.ask()
    return time.perf_counter() - start


def branin(x: Sequence[float]) -> float:
    a, b = x
    return (
        (b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a)
        + 10
    )


def hartmann6(x: Sequence[float]) -> float:
    heights = (1.0, 1.2, 3.0, 3.2)
    widths = (
        (10, 3, 17, 3.5, 1.7, 8),
        (0.05, 10, 17, 0.1, 8, 14),
        (3, 3.5, 1.7, 10, 17, 8),
        (17, 8, 0.05, 10, 0.1, 14),
    )
    centres = (
        (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
        (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
        (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
        (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
    )
    return -sum(
        height * math.exp(-sum(w * (v - c) ** 2 for w, v, c in zip(ws, x, cs, strict=True)))
        for height, ws, cs in zip(heights, widths, centres, strict=True)
    )


def rosenbrock(x: Sequence[float]) -> float:
    return sum(100 * (after - before**2) ** 2 + (1 - before) ** 2 for before, after in pairwise(x))


Function = Callable[[Sequence[float]], float]
FUNCTIONS: dict[str, tuple[Function, tuple[tuple[float, float], ...], float]] = {
    "Branin": (branin, ((-5.0, 10.0), (0.0, 15.0)), 0.397887),
    "Hartmann 6": (hartmann6, ((0.0, 1.0),) * 6, -3.32237),
    "Rosenbrock 5": (rosenbrock, ((-2.0, 2.0),) * 5, 0.0),
}


def space_of(limits: Sequence[tuple[float, float]]) -> SearchSpace:
    return SearchSpace(
        tuple(Dimension(f"x{n}", Float(low, high)) for n, (low, high) in enumerate(limits))
    )


def best_of_ours(name: str, label: str, evaluations: int, seed: int) -> float:
    function, limits, _ = FUNCTIONS[label]
    sampler = sampler_of(name, space_of(limits), seed, evaluations)
    seen: list[Trial] = []
    while len(seen) < evaluations:
        (hparams,) = sampler.ask(seen, 1)
        value = function([float(hparams[f"x{n}"]) for n in range(len(limits))])  # type: ignore[arg-type]
        seen.append(Trial(len(seen), hparams, TrialState.COMPLETE, (value,)))
    return min(trial.losses[0] for trial in seen)


def best_of_plain(label: str, evaluations: int, seed: int) -> float:
    import skopt

    function, limits, _ = FUNCTIONS[label]
    optimizer = skopt.Optimizer(
        plain_dimensions(space_of(limits)), "GP", acq_func="EI", random_state=seed
    )
    best = math.inf
    for _ in range(evaluations):
        point = optimizer.ask()
        value = function(point)
        best = min(best, value)
        optimizer.tell(point, value)
    return best


def compared(label: str, evaluations: int, seeds: int) -> dict[str, dict[str, float]]:
    """The regret of each (its best value above the optimum), and its seconds per trial."""
    rows = {}
    ways: dict[str, Callable[[int], float]] = {
        "random": lambda seed: best_of_ours("random", label, evaluations, seed),
        "scikit-optimize": lambda seed: best_of_plain(label, evaluations, seed),
        "hpo gp": lambda seed: best_of_ours("gp", label, evaluations, seed),
    }
    for way, best in ways.items():
        start = time.perf_counter()
        regrets = [best(seed) - FUNCTIONS[label][2] for seed in range(seeds)]
        seconds = (time.perf_counter() - start) / seeds / evaluations
        error = stdev(regrets) / math.sqrt(seeds) if seeds > 1 else math.nan
        rows[way] = {"regret": fmean(regrets), "error": error, "seconds_a_trial": seconds}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [name for name in SAMPLERS if name != "bayesian"]  # which is gp
    parser.add_argument("--samplers", nargs="+", choices=names, default=names)
    parser.add_argument("--trials", nargs="+", type=int, default=[100, 1000, 5000])
    parser.add_argument("--plain", nargs="*", type=int, default=[100, 300])
    parser.add_argument("--evaluations", type=int, default=100, help="of each test function")
    parser.add_argument("--seeds", type=int, default=10, help="of each test function; 0 for none")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="skopt|sklearn")
    warnings.filterwarnings("ignore", "The objective has been evaluated", UserWarning)

    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    figures: dict[str, Any] = {"ask_ms": {}, "plain_ms": {}, "functions": {}}
    print(f"{'ms an ask':16}" + "".join(f"{trials:>10,}" for trials in arguments.trials))
    for name in arguments.samplers:
        if name == "optuna_gp" and find_spec("torch") is None:
            print(f"{name:16}  left out: PyTorch is not installed")
            continue
        row = {trials: 1000 * ask_seconds(name, trials) for trials in arguments.trials}
        figures["ask_ms"][name] = row
        print(f"{name:16}" + "".join(f"{ms:10.1f}" for ms in row.values()), flush=True)
    for trials in arguments.plain:
        figures["plain_ms"][trials] = ms = 1000 * plain_seconds(trials)
        print(f"scikit-optimize's own GP at {trials} trials: {ms:.0f} ms", flush=True)
    for label in FUNCTIONS if arguments.seeds else ():
        print(f"\n{label}, {arguments.evaluations} evaluations, {arguments.seeds} seeds")
        rows = figures["functions"][label] = compared(label, arguments.evaluations, arguments.seeds)
        for way, row in rows.items():
            print(
                f"{way:16}  above the optimum {row['regret']:9.4f} +- {row['error']:.4f}"
                f"   {row['seconds_a_trial']:.3f} s a trial",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
