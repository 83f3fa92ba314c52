"""The techniques that a training uses, and what it holds of needs and circumstances.

What is said of a training holds for the template of a program too, whose numbers are blank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hpo.entries import NEEDS, Need
from hpo.registry import MODELS
from hpo.spec.code.own_functions import AUGMENT_NEEDS, OwnAugment
from hpo.spec.marks import NeedsWhere, Spec, leaf_at
from hpo.spec.registered import needs_of
from hpo.techniques import CIRCUMSTANCES, TECHNIQUES, Fact, Technique

if TYPE_CHECKING:
    from hpo.spec.experiment import Training


# Numbers of a model, and not of its training alone.
_BITS = ("compression.weights.", "compression.activations.bits", "compression.activations.top")
# Kinds of sparsity that begin with all weights.
_GROWING = ("magnitude", "n_of_m")


class Holder(NamedTuple):
    """A part of a training that has a need: where it stands, its name, and what to do about it."""

    place: str
    title: str
    does: str
    cure: str = ""


def used(training: Spec) -> dict[str, Technique]:
    """The techniques that are on in a training, by name."""
    found: list[int] = []
    for section in _sections():
        owner = _leaf(training, section)
        kind: type = type(owner)
        for number, name, is_on in _possible(kind, section):
            if is_on(getattr(owner, name)):
                found.append(number)
    names = [*TECHNIQUES]
    return {names[number]: TECHNIQUES[names[number]] for number in sorted(found)}


def needs_of_all(training: Training) -> frozenset[Need]:
    """The needs of the model, the techniques and the optimizer of a training."""
    found = {*needs_of("model", training.model), *needs_of("optimizer", training.optimizer)}
    for technique in used(training).values():
        found.update(technique.needs)
    if "activation_sparsity" in training.train.metrics:
        found.add("same depth")  # a layer that only some trials have is in a branch of its own
    return frozenset(found | (AUGMENT_NEEDS if _is_own(training) else set()))


def holders(training: Any, need: Fact) -> Iterator[Holder]:
    """The techniques, the optimizer, and the parts of the model that have a need.

    A circumstance is none.
    """
    if need in CIRCUMSTANCES:
        return
    for technique in used(training).values():
        if need in technique.needs:
            yield Holder(
                technique.place, technique.value or technique.place, NEEDS["technique"][need]
            )
    if not hasattr(training, "optimizer"):
        return  # a task of a user's own, which has no model either
    if need in needs_of("optimizer", training.optimizer):
        cure = "use another optimizer"
        does = NEEDS["optimizer"][need]
        yield Holder("optimizer.name", training.optimizer.name, does, cure)
    if _is_own(training) and need in AUGMENT_NEEDS:
        yield Holder("augment", "augment", NEEDS["technique"][need])
    model = training.model
    if need in getattr(MODELS.get(getattr(model, "name", "")), "needs", ()):
        does = NEEDS["model"][need]  # type: ignore[index]
        yield Holder("model.name", model.name, does, "use another model")
    for name, info in type(model).model_fields.items():
        for mark in info.metadata:
            is_so = isinstance(mark, NeedsWhere) and getattr(model, name) == mark.value
            if is_so and need in mark.needs:
                does = NEEDS["model"][need]  # type: ignore[index]
                cure = f"write another model.{name}"
                yield Holder(f"model.{name}", f"model.{name} {mark.value}", does, cure)


def circumstances(training: Spec) -> frozenset[Fact]:
    """The circumstances that a training itself tells of."""
    scheduled = _leaf(training, "train.schedules") or ()
    found: dict[Fact, bool] = {
        "folds": _leaf(training, "data.folds") is not None,
        "changes": bool(_leaf(training, "train.changes")),
        "growing batches": "updates.accumulate" in scheduled,
        "scheduled bits": any(path.startswith(_BITS) for path in scheduled),
        "scheduled noise": "privacy.noise" in scheduled,
        "growing sparsity": _leaf(training, "compression.sparsity.name") in _GROWING,
        "clipping optimizer": _leaf(training, "optimizer.clip_norm") is not None,
    }
    return frozenset(fact for fact, is_so in found.items() if is_so)


def _leaf(training: Spec, path: str) -> Any:
    """The leaf at a path, None where a training has none."""
    try:
        return leaf_at(training, path)
    except AttributeError:
        return None


def _is_own(training: Training) -> bool:
    return isinstance(training.augment, OwnAugment)


@cache
def _sections() -> tuple[str, ...]:
    """The sections in which techniques stand."""
    return tuple(dict.fromkeys(each.place.rpartition(".")[0] for each in TECHNIQUES.values()))


@cache
def _possible(kind: type, section: str) -> tuple[tuple[int, str, Callable[[Any], bool]], ...]:
    """The techniques that a section of this kind may have: number, leaf, and which values are on.

    A spec is checked several times in each trial, so that this is asked often.
    """
    if not issubclass(kind, Spec):
        return ()
    found = list[tuple[int, str, Callable[[Any], bool]]]()
    for number, each in enumerate(TECHNIQUES.values()):
        outer, _, name = each.place.rpartition(".")
        # Elsewhere, another variant or code of the user's own stands in its place.
        if outer == section and name in kind.model_fields:
            default = kind.model_fields[name].default
            found.append((number, name, partial(_is_on, each.value, default)))
    return tuple(found)


def _is_on(named: str, default: Any, value: Any) -> bool:
    """Whether the value of a leaf is the one `named`, or for "" any but the default."""
    if named:
        return bool(value == named)
    # A leaf of the host is None in the template of a program, whatever it was.
    return value is not None and bool(value != default)
