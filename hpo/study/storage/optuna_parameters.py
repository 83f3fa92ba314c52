"""A trial's hyperparameters as Optuna's parameters, and their rows in its tables.

Optuna's categories are plain values, so lists and mappings among choices become JSON. Optuna is
imported where it is needed, because that takes 0.3 s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from hpo.space import (
    Choice,
    Distribution,
    Float,
    Int,
    SearchSpace,
    can_give,
    same_value,
    with_bounds,
)
from hpo.trial import HParam, Trial


class Parameter(NamedTuple):
    """A dimension as Optuna stores it; `stored` gives the number that stands for a value."""

    distribution: Any
    json: str
    stored: Callable[[HParam], float]
    plain: Callable[[HParam], Any]
    holds: Callable[[HParam], bool]


def parameters(space: SearchSpace, trials: Iterable[Trial]) -> dict[str, Parameter]:
    """Optuna's parameters for the dimensions of a space and of the trials' earlier spaces.

    Choices and ranges include every value that a trial has, because Optuna wants the same choices
    in all trials of a study. Derived values are not parameters.
    """
    values: dict[str, list[HParam]] = {}
    for trial in trials:
        for path, value in trial.hparams.items():
            values.setdefault(path, []).append(value)
    derived = {leaf.path for leaf in space.derived}
    found = {}
    for path in {**space.by_path, **values}:
        if path in derived:
            continue
        dimension = space.by_path.get(path)
        known = dimension.distribution if dimension else None
        if dimension and dimension.limits:
            known = with_bounds(dimension.distribution, *dimension.limits)
        found[path] = _parameter(_covering(known, values.get(path, [])))
    return found


def _covering(distribution: Distribution | None, values: Sequence[HParam]) -> Distribution:
    """A distribution widened so that it includes these values; made from them if there is none."""
    others = values if distribution is None else [
        value for value in values if not can_give(distribution, value)
    ]  # fmt: skip
    if distribution is not None and not others:
        return distribution
    numbers = [v for v in others if isinstance(v, int | float) and not isinstance(v, bool)]
    if isinstance(distribution, Choice) or (distribution is None and len(numbers) < len(others)):
        choices = list(distribution.values) if isinstance(distribution, Choice) else []
        for value in others:
            if not any(same_value(value, choice) for choice in choices):
                choices.append(value)
        return Choice(tuple(choices))
    if distribution is None:
        low, high, log = min(numbers), max(numbers), False
    else:
        low = min([distribution.low, *numbers])
        high, log = max([distribution.high, *numbers]), distribution.log and low > 0
    is_whole = distribution is None or isinstance(distribution, Int)
    if is_whole and all(isinstance(number, int) for number in numbers):
        return Int(int(low), int(high), log)
    return Float(float(low), float(high), log)


def insert_parameters(
    connection: sa.Connection,
    table: sa.Table,
    known: Mapping[str, Parameter],
    trials: Iterable[tuple[int, Trial]],
) -> None:
    """Write the parameters of trials, each given with its id in Optuna's tables."""
    rows = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": known[name].stored(value),
            "distribution_json": known[name].json,
        }
        for trial_id, trial in trials
        for name, value in trial.hparams.items()
        if name in known and known[name].holds(value)
    ]
    if rows:
        connection.execute(sa.insert(table), rows)


def rewrite_parameters(
    connection: sa.Connection,
    table: sa.Table,
    ours: sa.Select[Any],
    known: Mapping[str, Parameter],
    trials: Iterable[tuple[int, Trial]],
) -> None:
    """Rewrite the stored parameters of trials where the space has changed.

    Optuna refuses a study in which a parameter has other choices in one trial than in another.
    `ours` selects the ids of the study's trials.
    """
    is_ours = table.c.trial_id.in_(ours)
    columns = sa.select(table.c.param_name, table.c.distribution_json).distinct()
    stale = any(
        name not in known or text != known[name].json
        for name, text in connection.execute(columns.where(is_ours))
    )
    if stale:
        # All are rewritten, so that a trial's parameters stay in the order of its hparams.
        connection.execute(sa.delete(table).where(is_ours))
        insert_parameters(connection, table, known, trials)


def _parameter(distribution: Distribution) -> Parameter:
    from optuna import distributions as optuna

    converted: optuna.BaseDistribution
    match distribution:
        # Rounded to the last step, because Optuna warns of a `high` that no step reaches.
        case Float(low=low, log=log, step=step):
            high = distribution.high if step is None else distribution.at(1 - 1e-12)
            converted = optuna.FloatDistribution(low, high, log=log, step=step)
        case Int(low=low, log=log, step=step):
            high = distribution.high if log else distribution.at(1 - 1e-12)
            converted = optuna.IntDistribution(low, high, log=log, step=step)
        case Choice(values=values):
            converted = optuna.CategoricalDistribution([_plain(value) for value in values])
            index = {json.dumps(value, sort_keys=True): i for i, value in enumerate(values)}
            text = optuna.distribution_to_json(converted)
            return Parameter(
                converted,
                text,
                lambda value: float(index[json.dumps(value, sort_keys=True)]),
                _plain,
                lambda value: json.dumps(value, sort_keys=True) in index,
            )
    return Parameter(converted, optuna.distribution_to_json(converted), _number, _same, _is_number)


def _plain(value: HParam) -> Any:
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def _is_number(value: HParam) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: HParam) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _same(value: HParam) -> HParam:
    return value
