"""The peers: Optuna's own `study.optimize`, one trial at a time, on the same tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.search.levels import level_of
from hpo.space import Choice, Distribution, Float
from hpo.trial import HParam

from .problem import Problem
from .replay import Track

if TYPE_CHECKING:
    import optuna


def optimize(problem: Problem, peer: str, seed: int, trainings: int) -> list[float]:
    """The regrets of one Optuna study, see `Track`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    track = Track(problem, trainings)
    sampler, pruner = PEERS[peer](seed, problem.epochs)
    study = optuna.create_study(sampler=_snapping(sampler, problem, seed), pruner=pruner)

    def objective(trial: optuna.Trial) -> float:
        hparams = {
            dimension.path: _suggest(trial, dimension.path, dimension.distribution)
            for dimension in problem.space.dimensions
        }
        curve = problem.curve(hparams, np.random.default_rng([seed, trial.number]))
        for epoch in range(1, problem.epochs + 1):
            loss = curve[epoch - 1] if epoch <= len(curve) else None
            track.spend(hparams, epoch, loss)
            if track.is_over:
                study.stop()
            if track.is_over or loss is None:
                raise optuna.TrialPruned
            trial.report(loss, epoch)
            if epoch < problem.epochs and trial.should_prune():
                raise optuna.TrialPruned
        return curve[-1]

    study.optimize(objective)
    return track.finished()


def _random(seed: int, epochs: int) -> tuple[Any, Any]:
    import optuna

    return optuna.samplers.RandomSampler(seed=seed), optuna.pruners.NopPruner()


def _tpe(seed: int, epochs: int) -> tuple[Any, Any]:
    import optuna

    return optuna.samplers.TPESampler(seed=seed), optuna.pruners.NopPruner()


def _tpe_hyperband(seed: int, epochs: int) -> tuple[Any, Any]:
    import optuna

    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    return optuna.samplers.TPESampler(seed=seed), pruner


PEERS: dict[str, Callable[[int, int], tuple[Any, Any]]] = {
    "optuna random": _random,
    "optuna tpe": _tpe,
    "optuna tpe + hyperband": _tpe_hyperband,
}


def _snapping(sampler: Any, problem: Problem, seed: int) -> Any:
    """The sampler, with each proposal moved to a configuration of the table, as in `replay`."""
    import optuna

    ours = {d.path: d.distribution for d in problem.space.dimensions}
    space = {path: _distribution(distribution) for path, distribution in ours.items()}
    taken: set[int] = set()

    class Snapping(optuna.samplers.BaseSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return space

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            known = sampler.infer_relative_search_space(study, trial)
            proposed = sampler.sample_relative(study, trial, known)
            for path, distribution in space.items():
                if path not in proposed:
                    proposed[path] = sampler.sample_independent(study, trial, path, distribution)
            # Optuna is given a choice by its index, which every value can be.
            wanted = {path: _value(ours[path], at) for path, at in proposed.items()}
            snapped = problem.snap(wanted, taken)
            return {path: _suggested(ours[path], snapped[path]) for path in space}

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            raise AssertionError("every dimension is relative")

        def before_trial(self, study: Any, trial: Any) -> None:
            sampler.before_trial(study, trial)

        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            sampler.after_trial(study, trial, state, values)

    return Snapping()


def _distribution(distribution: Distribution) -> Any:
    import optuna

    if isinstance(distribution, Choice):
        return optuna.distributions.CategoricalDistribution(range(len(distribution.values)))
    low, high, log = distribution.low, distribution.high, distribution.log
    if isinstance(distribution, Float):
        return optuna.distributions.FloatDistribution(low, high, log=log)
    return optuna.distributions.IntDistribution(int(low), int(high), log=log)


def _value(distribution: Distribution, suggested: Any) -> HParam:
    """Our value of what Optuna suggests, which is an index for a choice."""
    return distribution.values[suggested] if isinstance(distribution, Choice) else suggested


def _suggested(distribution: Distribution, value: HParam) -> Any:
    return level_of(distribution, value) if isinstance(distribution, Choice) else value


def _suggest(trial: optuna.Trial, path: str, distribution: Distribution) -> HParam:
    if isinstance(distribution, Choice):
        count = len(distribution.values)
        return _value(distribution, trial.suggest_categorical(path, range(count)))
    low, high, log = distribution.low, distribution.high, distribution.log
    if isinstance(distribution, Float):
        return trial.suggest_float(path, low, high, log=log)
    return trial.suggest_int(path, int(low), int(high), log=log)
