"""Leaves that are set or vary although no trial reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from hpo.space import Choice, SearchSpace
from hpo.spec.experiment import Training
from hpo.spec.marks import ReadWhere, Spec, has_leaf, leaf_at, marked_leaves, read_where
from hpo.spec.schema import default_of, leaves_at
from hpo.trial import HParam


def unread_notes(training: Training, space: SearchSpace) -> tuple[str, ...]:
    """A sentence for each leaf that is set, or varies, and has no effect in any trial."""
    varies = [dimension.path for dimension in space.dimensions]
    varies += [leaf.path for leaf in space.derived]
    written = [path for path in _changed(training) if path not in varies]
    notes = (_note(path, training, space) for path in [*written, *varies])
    return tuple(note for note in notes if note)


def _changed(training: Training) -> Iterator[str]:
    """The leaves whose value is not the default."""
    for path, _, value in marked_leaves(training):
        outer, _, field = path.rpartition(".")
        owner = leaf_at(training, outer) if outer else training
        if value != type(owner).model_fields[field].default:
            yield path


def _note(path: str, training: Training, space: SearchSpace) -> str:
    outer, _, field = path.rpartition(".")
    owners = _owners(path, outer, training, space)
    rules = {read_where(owner, field) for owner in owners}
    rule = next(iter(rules), None)
    if rule is None or len(rules) > 1:
        return ""
    other = f"{outer}.{rule.other}"
    found = _values(path, other, rule, owners, training, space)
    if not found or any(value in rule.values for value in found):
        return ""
    cure = f"set that to {rule.values[0]}" if len(rule.values) == 1 else "change that"
    while_ = " or ".join(dict.fromkeys(map(str, found)))
    return f"{path} has no effect while {other} is {while_}: {cure}, or remove {path}"


def _owners(path: str, outer: str, training: Training, space: SearchSpace) -> list[type[Spec]]:
    """The spec classes that have the leaf in some trial."""
    if f"{outer}.name" in space.by_path or not has_leaf(training, path):
        owners = [leaf.owner for leaf in leaves_at(type(training), path)]
        names = _names(path, f"{outer}.name", space)
        return [owner for owner in owners if not names or _name_of(owner) in names] or owners
    return [type(leaf_at(training, outer) if outer else training)]


def _names(path: str, name: str, space: SearchSpace) -> tuple[HParam, ...]:
    """The names of the parts that have the leaf in some trial; none if unknown."""
    dimension, naming = space.by_path.get(path), space.by_path.get(name)
    if dimension and dimension.when and dimension.when.path == name:
        return tuple(dimension.when.values)
    if naming is not None and isinstance(naming.distribution, Choice):
        return tuple(naming.distribution.values)
    return ()


def _name_of(owner: type[Spec]) -> HParam | None:
    """The name by which a spec class is chosen, if it is."""
    field = owner.model_fields.get("name")
    return next(iter(get_args(field.annotation)), None) if field else None


def _values(
    path: str,
    other: str,
    rule: ReadWhere,
    owners: list[type[Spec]],
    training: Training,
    space: SearchSpace,
) -> list[HParam]:
    """The values that the leaf `other` has in trials with the leaf at `path`; none if unknown."""
    dimension, deciding = space.by_path.get(path), space.by_path.get(other)
    if dimension and dimension.when and dimension.when.path == other:
        return list(dimension.when.values)
    values: list[Any] = []
    if deciding is not None:
        if not isinstance(deciding.distribution, Choice):
            return []
        values += deciding.distribution.values
    if deciding is None or deciding.when is not None:
        values += [leaf_at(training, other)] if has_leaf(training, other) else []
        if f"{other.rpartition('.')[0]}.name" in space.by_path:
            values += [default_of(owner, rule.other) for owner in owners]
    return [] if other in {leaf.path for leaf in space.derived} else values
