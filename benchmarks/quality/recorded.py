"""Problems of recorded configurations: of a table, or of a study whose trials trained in full."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from hpo.errors import HpoError
from hpo.search.levels import is_stepped, level_count, level_of
from hpo.space import Choice, Distribution, SearchSpace, can_give
from hpo.study.log.events import fold
from hpo.study.storage.stored import stored_experiment
from hpo.study.storage.tables import Storage
from hpo.trial import HParam, HParams, TrialState

from .problem import Problem

# Fewer configurations are no table to search in.
_FEWEST = 100


def recorded(name: str, space: SearchSpace, rows: Sequence[HParams], losses: np.ndarray) -> Problem:
    """A search among `rows`; their `losses` [rows, epochs] are NaN once they have diverged."""
    distributions = {dimension.path: dimension.distribution for dimension in space.dimensions}

    def point(hparams: HParams) -> np.ndarray:
        return np.concatenate([_columns(d, hparams[path]) for path, d in distributions.items()])

    def key(hparams: HParams) -> tuple[HParam, ...]:
        return tuple(hparams[path] for path in distributions)

    points = np.stack([point(row) for row in rows])
    final = np.where(np.isfinite(losses).all(axis=1), losses[:, -1], np.inf)
    row_of = {key(row): index for index, row in enumerate(rows)}

    def snap(hparams: HParams, taken: set[int]) -> HParams:
        away = ((points - point(hparams)) ** 2).sum(axis=1)
        if len(taken) < len(rows):
            away[list(taken)] = np.inf
        taken.add(int(away.argmin()))
        return rows[int(away.argmin())]

    def curve(hparams: HParams, rng: np.random.Generator) -> tuple[float, ...]:
        whole = losses[row_of[key(hparams)]]
        bad = np.flatnonzero(~np.isfinite(whole))
        return tuple(whole[: bad[0] if bad.size else None].tolist())

    return Problem(
        name,
        space,
        losses.shape[1],
        curve,
        value=lambda hparams: float(final[row_of[key(hparams)]]),
        best=float(final.min()),
        typical=float(np.median(final)),
        snap=snap,
    )


def of_study(source: str) -> Problem:
    """The trials of a study, `URL#NAME`, that trained in full or diverged, by its first objective.

    Exits with a line that says why where there are too few, or dimensions under a condition.
    """
    url, _, name = source.rpartition("#")
    try:
        with Storage.read(url) as storage:
            record = storage.study(name)
            experiment = stored_experiment(record, storage.where)
            if experiment.search is None:
                raise HpoError(f"study '{name}' has no search.")
            trials = fold(storage.events(record.id), experiment.search.goal).trials
    except HpoError as error:
        sys.exit(f"--study {source}: {error}")
    epochs, space = experiment.training.train.epochs, experiment.space
    if any(dimension.when is not None for dimension in space.dimensions):
        sys.exit(f"--study {source}: has dimensions under a condition, of which we make no table.")
    distributions = {dimension.path: dimension.distribution for dimension in space.dimensions}
    whole = [
        trial
        for trial in trials
        if (trial.epochs == epochs or trial.state is TrialState.DIVERGED)
        # In a population, other hparams led to some of the losses.
        and not trial.exploited
        # Ranges may have moved since, or been written again.
        and all(
            path in trial.hparams and can_give(distribution, trial.hparams[path])
            for path, distribution in distributions.items()
        )
    ]
    full = sum(trial.epochs == epochs for trial in whole)
    if full < _FEWEST:
        sys.exit(
            f"--study {source}: {full} trials trained in full and lie in the space as it is now:"
            f" search with the sampler random, the scheduler none and {_FEWEST} trials at least."
        )
    losses = np.full((len(whole), epochs), np.nan)
    for row, trial in zip(losses, whole, strict=True):
        row[: trial.epochs] = trial.losses
    return recorded(name, space, [trial.hparams for trial in whole], losses)


def _columns(distribution: Distribution, value: HParam) -> list[float]:
    """Where a value lies on axes of [0, 1]; two values of a choice are 1 apart."""
    if isinstance(distribution, Choice):
        place = level_of(distribution, value)
        return [np.sqrt(0.5) * (place == other) for other in range(len(distribution.values))]
    if is_stepped(distribution):
        return [level_of(distribution, value) / max(1, (level_count(distribution) or 1) - 1)]
    low, high, at = float(distribution.low), float(distribution.high), float(value)  # type: ignore[arg-type]
    if distribution.log:
        low, high, at = np.log(low), np.log(high), np.log(max(at, low))
    return [(at - low) / (high - low)]
