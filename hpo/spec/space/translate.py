"""An earlier trial in the terms of a space that it was not drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hpo.space import Choice, Distribution, Int, SearchSpace, as_given, can_give
from hpo.spec.fill import filled
from hpo.spec.marks import Spec
from hpo.spec.schema import value_at
from hpo.trial import HParam, HParams, Trial


def translations(
    space: SearchSpace,
    values: Mapping[str, Any],
    trials: Iterable[Trial],
    root: type[Spec],
) -> dict[int, HParams | None]:
    """The trials of a study in terms of its present space, by number, unless they are unchanged.

    A trial is a filled-in spec, over the training spec in `values`. Where the present space can
    fill in the same spec, these are the hparams that do so. A new dimension has the spec's own
    value. Otherwise the trial lies outside the space and is None.
    """
    found: dict[int, HParams | None] = {}
    for trial in trials:
        if can_take(space, trial.hparams):
            continue
        hparams = translated(space, values, trial.hparams, root)
        if hparams is not None and not _is_the_same(values, hparams, trial.hparams, root):
            hparams = None
        found[trial.number] = hparams
    return found


def translated(
    space: SearchSpace, values: Mapping[str, Any], hparams: HParams, root: type[Spec]
) -> dict[str, HParam] | None:
    """The hparams of a space that give its leaves the values they have in a trial elsewhere.

    The trial is `hparams` over the training spec in `values`; None where the space cannot give
    one of the values, or forbids them together.
    """
    return _taken_over(space, values, hparams, root, can_give)


def nearest(
    space: SearchSpace, values: Mapping[str, Any], hparams: HParams, root: type[Spec]
) -> dict[str, HParam] | None:
    """As `translated`, with numbers moved to the nearest that the space can give."""
    return _taken_over(space, values, hparams, root, _is_near)


def _taken_over(
    space: SearchSpace,
    values: Mapping[str, Any],
    hparams: HParams,
    root: type[Spec],
    is_fit: Callable[[Distribution, HParam], bool],
) -> dict[str, HParam] | None:
    whole = filled(values, hparams, root)
    found: dict[str, HParam] = {}
    for dimension in space.dimensions:
        if not space.is_active(dimension, found):
            continue
        try:
            value = value_at(root, whole, dimension.path)
        except KeyError:
            return None
        value = list(value) if isinstance(value, tuple) else value
        if not is_fit(dimension.distribution, value):
            return None
        found[dimension.path] = _moved(dimension.distribution, value)
    complete = space.completed(found)
    return complete if space.broken_rule(complete) is None else None


def _is_near(distribution: Distribution, value: HParam) -> bool:
    if isinstance(distribution, Choice):
        return can_give(distribution, value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _moved(distribution: Distribution, value: HParam) -> HParam:
    if can_give(distribution, value):
        return as_given(distribution, value)
    assert not isinstance(distribution, Choice)
    assert isinstance(value, int | float)
    inside = min(max(value, distribution.low), distribution.high)
    if distribution.log or distribution.step is None:
        return round(inside) if isinstance(distribution, Int) else inside
    place = round((inside - distribution.low) / distribution.step) + 0.5
    return distribution.at(min(place / distribution.size, 1 - 1e-12))


def can_take(space: SearchSpace, hparams: HParams) -> bool:
    """Whether a space could have given exactly these hparams, derived ones included."""
    found = space.own_part(hparams)
    if found is None:
        return False
    complete = space.completed(found)
    return complete == hparams and space.broken_rule(complete) is None


def _is_the_same(values: Mapping[str, Any], one: HParams, other: HParams, root: type[Spec]) -> bool:
    trainings = (root.model_validate(filled(values, hparams, root)) for hparams in (one, other))
    return next(trainings) == next(trainings)
