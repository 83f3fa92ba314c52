"""The condition of a space entry: what it looks at, and whether that can ever hold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from hpo.space import Choice, Condition, Distribution, Float, can_give, same_value
from hpo.spec.file.document import Mistake
from hpo.spec.fill import filled
from hpo.spec.marks import Spec
from hpo.spec.schema import all_leaves, field_errors, leaf_mistake, leaves_at, value_at
from hpo.spec.space.entries import Entry
from hpo.spec.words import any_of, range_of, shown, unknown_name
from hpo.trial import HParam


def condition_of(
    entry: Entry,
    entries: Mapping[str, Entry],
    values: Mapping[str, Any],
    is_strict: bool,
    root: type[Spec],
) -> Condition | bool | Mistake:
    """The condition of an entry, True or False where the spec decides it, or a mistake.

    It may depend on another entry's leaf or on a leaf that the spec fixes. On a leaf of a part that
    another entry chooses, it becomes a condition on that choice. A value that the space never gives
    to the leaf is a mistake if `is_strict`, and is ignored otherwise.
    """
    assert entry.when is not None
    path, written = entry.when
    at = ("space", entry.path, "when", path)
    if path == entry.path:
        return Mistake(at, "cannot look at the entry's own leaf: name another")
    if not leaves_at(root, path):
        known = {name for name, _ in all_leaves(root)}
        close = unknown_name(path, known, "leaf").partition(" Known")[0]
        return Mistake(at, f"{close} Write a path such as optimizer.name")
    wanted = _wanted(path, written, entries, root)
    for value in wanted:
        refused = refusal(path, value, root)
        if refused is not None:
            return Mistake(at, refused)
    if path in entries:
        return _on_entry(at, path, wanted, entries[path].distribution, is_strict)
    drivers = [other for other in entries.values() if drives(other.path, path, root)]
    if not drivers:
        return _holds(path, wanted, values, root)
    driver = max(drivers, key=lambda other: len(other.path))
    # A whole part settles all below it; a name leaves to the others what its variants share.
    is_shared = len(drivers) > 1 and leaves_at(root, driver.path)[0].is_tag
    if is_shared or driver.when is not None or not isinstance(driver.distribution, Choice):
        return Mistake(at, f"depends on what {driver.path} gives: look at {driver.path} instead")
    kept = tuple(
        value
        for value in driver.distribution.values
        if _holds(path, wanted, filled(values, {driver.path: value}, root), root)
    )
    if not kept and is_strict:
        text = f"never has {any_of(wanted)}, whatever {driver.path} gives: correct it or remove"
        return Mistake(at, text)
    return Condition(driver.path, kept) if kept else False


def _on_entry(
    at: tuple[str, ...],
    path: str,
    wanted: tuple[HParam, ...],
    distribution: Distribution,
    is_strict: bool,
) -> Condition | Literal[False] | Mistake:
    if isinstance(distribution, Float) and distribution.step is None:
        return Mistake(at, f"{path} is continuous: look at one with int or choice")
    if isinstance(distribution, Choice):
        given = Condition(path, distribution.values).holds
    else:
        given = partial(can_give, distribution)
    kept = tuple(filter(given, wanted))
    if is_strict and len(kept) < len(wanted):
        never = next(value for value in wanted if not given(value))
        return Mistake(at, f"is never {shown(never)}: write {range_of(distribution)}")
    return Condition(path, kept) if kept else False


def _wanted(
    path: str, written: HParam, entries: Mapping[str, Entry], root: type[Spec]
) -> tuple[HParam, ...]:
    """The values meant: a list is one of several, unless the leaf's own values are lists."""
    if not isinstance(written, list):
        return (written,)
    entry = entries.get(path)
    choices = entry.distribution.values if entry and isinstance(entry.distribution, Choice) else ()
    takes_list = any(same_value(written, value) for value in choices) or (
        not entry and refusal(path, written, root) is None
    )
    return (written,) if takes_list else tuple(written)


def refusal(path: str, value: HParam, root: type[Spec]) -> str | None:
    """Why the leaf at a path could never have a value, in whatever variant."""
    leaves = leaves_at(root, path)
    if leaves[0].is_tag:
        known = {leaf.variants[-1][1] for leaf in leaves}
        is_known = isinstance(value, str) and value in known
        return None if is_known else unknown_name(str(value), known)
    refused = None
    for leaf in leaves:
        errors = field_errors(leaf.owner, {leaf.field: value})
        if leaf.field not in errors:
            return None
        refused = leaf_mistake(leaf.owner, leaf.field, value, errors)
    return refused


def drives(path: str, other: str, root: type[Spec]) -> bool:
    """Whether the value at `path` may change the one at `other`, without being it."""
    part = path.removesuffix(".name") if leaves_at(root, path)[0].is_tag else path
    return other.startswith(f"{part}.")


def _holds(
    path: str, wanted: tuple[HParam, ...], values: Mapping[str, Any], root: type[Spec]
) -> bool:
    try:
        value = value_at(root, values, path)
    except (KeyError, TypeError):
        return False
    plain = list(value) if isinstance(value, tuple) else value
    return any(same_value(plain, one) for one in wanted)
