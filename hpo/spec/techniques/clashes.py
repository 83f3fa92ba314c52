"""What does not go together in a training, by the table of techniques."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import TypeAlias

from hpo.entries import NEEDS, Need
from hpo.registry import DATASETS, READERS
from hpo.spec.experiment import Training
from hpo.spec.marks import NeedsWhere, Spec
from hpo.spec.schema import leaves_at
from hpo.spec.sections.data import DataSpec, tasks_of
from hpo.spec.techniques.used import Holder, circumstances, holders, used
from hpo.techniques import CIRCUMSTANCES, TECHNIQUES, Fact, Technique

# A key path, and a sentence about what stands there.
Found: TypeAlias = tuple[tuple[str, ...], str]


def clashes(training: Spec, around: Collection[Fact] = ()) -> Iterator[Found]:
    """Pairs that do not go together, as (key path, sentence); the circumstances `around` hold too.

    A pair is said once, at the place of the technique that excludes the other part.
    """
    facts = circumstances(training) | {*around}
    for technique in used(training).values():
        for fact, reason in technique.excludes.items():
            standing = _standing(facts & {fact})
            for holder in (*standing, *holders(training, fact)):
                if holder.place != technique.place:
                    yield _said(technique, reason, holder)
                    break


def clashes_around(training: Spec, around: Collection[Fact]) -> Iterator[Found]:
    """The techniques of a training that exclude one of these circumstances, as `clashes` says."""
    for technique in used(training).values():
        for fact, reason in technique.excludes.items():
            for holder in _standing({fact} & {*around}):
                yield _said(technique, reason, holder)


def decides(place: str) -> bool:
    """Whether values at a place differ in what they go with."""
    return bool(_excluded(place) | _facts(place))


def may_clash(one: str, other: str) -> bool:
    """Whether some value at one place may not go with some value at another one."""
    return any(_excluded(a) & _facts(b) for a, b in ((one, other), (other, one)))


@cache
def _excluded(place: str) -> frozenset[Fact]:
    """What techniques at a place exclude."""
    return frozenset(
        fact for each in TECHNIQUES.values() if each.place == place for fact in each.excludes
    )


@cache
def _facts(place: str) -> frozenset[Fact]:
    """The needs and circumstances that may stand at a place."""
    found: set[Fact] = {fact for fact, each in CIRCUMSTANCES.items() if each.place == place}
    found.update(need for t in TECHNIQUES.values() if t.place == place for need in t.needs)
    part = place.removesuffix(".name")
    found.update(need for kind, needs in NEEDS.items() if kind == part for need in needs)
    for leaf in leaves_at(Training, place):
        marks = leaf.owner.model_fields[leaf.field].metadata
        found.update(need for mark in marks if isinstance(mark, NeedsWhere) for need in mark.needs)
    return frozenset(found)


def unfit(training: Spec, lacking: Mapping[Need, str]) -> Iterator[Found]:
    """Techniques for other data than there are, as (key path, sentence).

    `lacking` has a clause for each need that the data do not meet.
    """
    for technique in used(training).values():
        for need in technique.needs:
            if need in lacking:
                does = NEEDS["technique"][need]
                what = f"{technique.value} {does}" if technique.value else does
                path = tuple(technique.place.split("."))
                yield path, f"{what}, and {lacking[need]}: remove it"
                break


def lacking(data: DataSpec) -> dict[Need, str]:
    """The needs that a data section is known not to meet, each with a clause that says why."""
    tasks, found = tasks_of(data), dict[Need, str]()
    task = f"the task is {' or '.join(tasks)}"
    if "classification" not in tasks:
        found["classes"] = task
    if not {"classification", "multilabel"} & {*tasks}:
        found["labels"] = task
    known = READERS if isinstance(data.dataset, Spec) else DATASETS
    own = isinstance(data.dataset, Spec)
    name = next(iter(type(data.dataset).model_fields)) if own else data.dataset
    if name in known and known[name].is_table:
        found["images"] = f"{name} is a table"
    return found


def _standing(facts: Collection[Fact]) -> Iterator[Holder]:
    """Where circumstances stand."""
    for fact in facts:
        one = CIRCUMSTANCES[fact]
        yield Holder(one.place, one.title or one.place, one.does, one.cure)


def _said(technique: Technique, reason: str, other: Holder) -> Found:
    subject = f"{technique.value} {reason}" if technique.value else reason
    cure = f"{other.cure}, or remove {technique.place}" if other.cure else "remove one of them"
    return tuple(technique.place.split(".")), f"{subject}, and {other.title} {other.does}: {cure}"
