"""What does not go together in a training, by the table of techniques."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

from hpo.entries import NEEDS, Need
from hpo.registry import DATASETS, READERS
from hpo.spec.marks import Spec
from hpo.spec.sections.data import DataSpec, tasks_of
from hpo.spec.techniques.used import Holder, circumstances, holders, used
from hpo.techniques import CIRCUMSTANCES, Fact, Technique

# A key path, and a sentence about what stands there.
Found: TypeAlias = tuple[tuple[str, ...], str]


def clashes(training: Spec, around: Collection[Fact] = ()) -> Iterator[Found]:
    """Pairs that do not go together, as (key path, sentence); the circumstances `around` hold too.

    A pair is said once, at the place of the technique that excludes the other part.
    """
    facts = circumstances(training) | {*around}
    for technique in used(training).values():
        for fact, reason in technique.excludes.items():
            for holder in _of(training, fact, facts):
                if holder.place != technique.place:
                    yield tuple(technique.place.split(".")), _sentence(technique, reason, holder)
                    break


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


def _of(training: Any, fact: Fact, facts: Collection[Fact]) -> Iterator[Holder]:
    """What a fact stands in; nothing if it does not hold."""
    circumstance = CIRCUMSTANCES.get(fact)
    if circumstance is None:
        yield from holders(training, fact)  # type: ignore[arg-type]
    elif fact in facts:
        one = circumstance
        yield Holder(one.place, one.title or one.place, one.does, one.cure)


def _sentence(technique: Technique, reason: str, other: Holder) -> str:
    subject = f"{technique.value} {reason}" if technique.value else reason
    cure = f"{other.cure}, or remove {technique.place}" if other.cure else "remove one of them"
    return f"{subject}, and {other.title} {other.does}: {cure}"
