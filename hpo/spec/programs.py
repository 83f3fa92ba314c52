"""The leaves that shape a compiled program, and how many programs a space can need."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from typing import Any

from hpo.space import Dimension, SearchSpace
from hpo.spec.experiment import Experiment, Training
from hpo.spec.fill import fill
from hpo.spec.marks import Mark, Spec, mark_of, parts_of
from hpo.spec.schema import leaves_at, variants_of

# Beyond this many, counting exactly would take longer than the rest of `hpo check`.
_MOST_COUNTED = 1_000
_MOST_BOUNDED = 100_000


def static_leaves(training: Training) -> tuple[tuple[str, Hashable], ...]:
    """Path and value of each leaf that shapes the program; equal for trials that share lanes.

    These are the static leaves, the names of the variants, and the knobs that are None.
    """
    return tuple(_static(training, ""))


def shaping(space: SearchSpace, root: type[Spec]) -> frozenset[str]:
    """The dimensions whose values decide which program a trial has.

    With a dimension come those that its condition looks at.
    """
    paths = {d.path for d in space.dimensions if _shapes_program(d, root)}
    for derived in space.derived:
        if _is_static(derived.path, root):
            paths |= derived.deciding
    for dimension in reversed(space.dimensions):
        if dimension.path in paths and dimension.when is not None:
            paths.add(dimension.when.path)
    return frozenset(paths)


def count_programs(experiment: Experiment) -> int | None:
    """How many programs the space can need at most; None for more than 100,000."""
    space = experiment.space
    paths = shaping(space, type(experiment.training))
    part = SearchSpace(
        tuple(d for d in space.dimensions if d.path in paths),
        tuple(derived for derived in space.derived if derived.deciding <= paths),
        tuple(rule for rule in space.rules if rule.deciding and rule.deciding <= paths),
    )
    if part.size > _MOST_BOUNDED:
        return None
    if part.size > _MOST_COUNTED:
        return int(part.size)
    combinations = part.combinations(part.dimensions)
    allowed = [part.completed(chosen) for chosen in combinations if part.allows(chosen)]
    return len({static_leaves(fill(experiment.training, chosen, 0)) for chosen in allowed})


def _static(spec: Spec, prefix: str) -> Iterator[tuple[str, Hashable]]:
    for name, mark, tag in _fields(type(spec)) if spec.may_vary else ():
        value = getattr(spec, name)
        if isinstance(value, Spec):
            if tag is not None:
                yield f"{prefix}{name}.{tag}", getattr(value, tag)
            yield from _static(value, f"{prefix}{name}.")
        elif mark is Mark.STATIC or (mark is Mark.KNOB and value is None):
            yield f"{prefix}{name}", value
        elif mark is None and (parts := parts_of(value)) is not None:
            yield f"{prefix}{name}", tuple((key, type(part)) for key, part in parts.items())
            for key, part in parts.items():
                if isinstance(part, Spec):
                    yield from _static(part, f"{prefix}{name}.{key}.")


@cache
def _fields(spec: type[Spec]) -> tuple[tuple[str, Mark | None, str | None], ...]:
    return tuple(
        (name, mark_of(spec, name), variants.tag if variants else None)
        for name in spec.model_fields
        for variants in (variants_of(spec, name),)
    )


def _shapes_program(dimension: Dimension, root: type[Spec]) -> bool:
    if _is_static(dimension.path, root):
        return True
    marks = {mark_of(leaf.owner, leaf.field) for leaf in leaves_at(root, dimension.path)}
    choices: Sequence[Any] = getattr(dimension.distribution, "values", ())
    return Mark.KNOB in marks and None in choices


def _is_static(path: str, root: type[Spec]) -> bool:
    marks = {mark_of(leaf.owner, leaf.field) for leaf in leaves_at(root, path)}
    # What has no mark and yet varies is the name of a variant, or a whole part.
    return bool(marks - {Mark.KNOB, Mark.HOST})
