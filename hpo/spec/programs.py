"""What of a training spec shapes its compiled program, and how many programs a space can need."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from typing import Any

from hpo.space import Choice, Dimension, Distribution, Float, SearchSpace
from hpo.spec.experiment import Experiment, Training
from hpo.spec.fill import fill
from hpo.spec.marks import Mark, Spec, mark_of
from hpo.spec.schema import leaves_at, variants_of
from hpo.trial import HParam

# Beyond this many, counting exactly would take longer than the rest of `hpo check`.
_MOST_COUNTED = 1_000
_MOST_BOUNDED = 100_000


def static_leaves(training: Training) -> tuple[tuple[str, Hashable], ...]:
    """Path and value of all that shapes the program; equal for trials that can share lanes.

    These are the static leaves, the names of the variants, and the knobs that are None.
    """
    return tuple(_static(training, ""))


def count_programs(experiment: Experiment) -> int | None:
    """How many programs the space can need at most; None for more than 100,000."""
    space = experiment.space
    shaping = {d.path for d in space.dimensions if _shapes_program(d)}
    for dimension in reversed(space.dimensions):
        if dimension.path in shaping and dimension.when is not None:
            shaping.add(dimension.when.path)
    part = SearchSpace(tuple(d for d in space.dimensions if d.path in shaping))
    if part.size > _MOST_BOUNDED:
        return None
    if part.size > _MOST_COUNTED:
        return int(part.size)
    combinations = _combinations(part, part.dimensions)
    return len({static_leaves(fill(experiment.training, chosen, 0)) for chosen in combinations})


def _static(spec: Spec, prefix: str) -> Iterator[tuple[str, Hashable]]:
    for name, mark, tag in _fields(type(spec)):
        value = getattr(spec, name)
        if isinstance(value, Spec):
            if tag is not None:
                yield f"{prefix}{name}.{tag}", getattr(value, tag)
            yield from _static(value, f"{prefix}{name}.")
        elif mark is Mark.STATIC or (mark is Mark.KNOB and value is None):
            yield f"{prefix}{name}", value


@cache
def _fields(spec: type[Spec]) -> tuple[tuple[str, Mark | None, str | None], ...]:
    return tuple(
        (name, mark_of(spec, name), variants.tag if variants else None)
        for name in spec.model_fields
        for variants in (variants_of(spec, name),)
    )


def _shapes_program(dimension: Dimension) -> bool:
    leaves = leaves_at(Training, dimension.path)
    marks = {mark_of(leaf.owner, leaf.field) for leaf in leaves}
    # What has no mark and yet varies is the name of a variant, or a whole part.
    if marks - {Mark.KNOB, Mark.HOST}:
        return True
    choices: Sequence[Any] = getattr(dimension.distribution, "values", ())
    return Mark.KNOB in marks and None in choices


def _combinations(
    space: SearchSpace, dimensions: Sequence[Dimension]
) -> Iterator[dict[str, HParam]]:
    if not dimensions:
        yield {}
        return
    *before, last = dimensions
    for hparams in _combinations(space, before):
        if not space.is_active(last, hparams):
            yield hparams
            continue
        for value in _values(last.distribution):
            yield {**hparams, last.path: value}


def _values(distribution: Distribution) -> Sequence[HParam]:
    if isinstance(distribution, Choice):
        return distribution.values
    if isinstance(distribution, Float):
        size = int(distribution.size)
        return [distribution.at((index + 0.5) / size) for index in range(size)]
    return range(distribution.low, distribution.high + 1, distribution.step)
