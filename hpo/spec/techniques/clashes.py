"""What does not go together in a training, by the table of techniques."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from hpo.entries import NEEDS, Need
from hpo.registry import DATASETS, READERS
from hpo.spec.experiment import Training
from hpo.spec.marks import NeedsWhere, Spec
from hpo.spec.registered import needs_of
from hpo.spec.schema import leaves_at
from hpo.spec.sections.data import DataSpec, tasks_of
from hpo.spec.techniques.used import Holder, circumstances, holders, used
from hpo.techniques import CIRCUMSTANCES, OPTIMIZERS_EXCLUDE, TECHNIQUES, Fact

# A key path, and a sentence about what stands there.
Found: TypeAlias = tuple[tuple[str, ...], str]


def clashes(training: Spec, around: Collection[Fact] = ()) -> Iterator[Found]:
    """Pairs that do not go together, as (key path, sentence); the circumstances `around` hold too.

    A pair is said once, at the place of the technique that excludes the other part.
    """
    facts = circumstances(training) | {*around}
    for part in _excluders(training):
        for fact, reason in part.excludes.items():
            for holder in [_standing(fact)] if fact in facts else holders(training, fact):
                if holder.place != part.place:
                    yield part.said(reason, holder)
                    break


def clashes_around(training: Spec, around: Collection[Fact]) -> Iterator[Found]:
    """The parts of a training that exclude one of these circumstances, as `clashes` says."""
    for part in _excluders(training):
        for fact, reason in part.excludes.items():
            if fact in around:
                yield part.said(reason, _standing(fact))


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
    if data.text.synonyms is None:
        found["synonyms"] = "data.text.synonyms names none"
    if data.text.homophones is None:
        found["homophones"] = "data.text.homophones names none"
    known = READERS if isinstance(data.dataset, Spec) else DATASETS
    own = isinstance(data.dataset, Spec)
    name = next(iter(type(data.dataset).model_fields)) if own else data.dataset
    if name in known and known[name].is_table:
        found["images"] = f"{name} is a table"
    return found


def _standing(fact: Fact) -> Holder:
    """Where a circumstance stands."""
    one = CIRCUMSTANCES[fact]
    return Holder(one.place, one.title or one.place, one.does, one.cure)


class _Excluder(NamedTuple):
    """A part of a training, with what it excludes, how a sentence names it, and what to do."""

    place: str
    excludes: Mapping[Fact, str]
    title: str
    cure: str

    def said(self, reason: str, other: Holder) -> Found:
        """The sentence about this part and another one."""
        subject = f"{self.title} {reason}" if self.title else reason
        cure = f"{other.cure}, or {self.cure}" if other.cure else "remove one of them"
        return tuple(self.place.split(".")), f"{subject}, and {other.title} {other.does}: {cure}"


def _excluders(training: Spec) -> Iterator[_Excluder]:
    """The techniques of a training, and its optimizer for each of its needs."""
    for each in used(training).values():
        yield _Excluder(each.place, each.excludes, each.value, f"remove {each.place}")
    optimizer: Any = getattr(training, "optimizer", None)
    # A command may have a number of its own by this name.
    for need in needs_of("optimizer", optimizer) if isinstance(optimizer, Spec) else ():
        reasons = OPTIMIZERS_EXCLUDE.get(need, {})
        yield _Excluder("optimizer.name", reasons, optimizer.name, "use another optimizer")
