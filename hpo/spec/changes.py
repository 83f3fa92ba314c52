"""Knobs that change while a trial trains: `train.changes`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import isfinite
from typing import Any

from hpo.registry import SAMPLERS, SCHEDULERS
from hpo.space import Choice, Dimension, SearchSpace
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.experiment import Training
from hpo.spec.file.document import Mistake
from hpo.spec.marks import Mark, Spec, leaf_at, mark_of, marked_leaves, with_leaves
from hpo.spec.schema import field_errors, leaf_mistake, leaves_at, place_of
from hpo.spec.sections.search import SearchSpec
from hpo.spec.sections.techniques.schedules import turns
from hpo.spec.sections.train import TrainSpec
from hpo.spec.words import shown, unknown_name


def is_knob(path: str, root: type[Spec]) -> bool:
    """Whether a leaf is a knob in every variant that has it."""
    leaves = leaves_at(root, path)
    return all(mark_of(leaf.owner, leaf.field) is Mark.KNOB for leaf in leaves)


def can_change(dimension: Dimension, root: type[Spec]) -> bool:
    """Whether a dimension may change in training: a knob, and never switched off by a null."""
    choices = dimension.distribution.values if isinstance(dimension.distribution, Choice) else ()
    return is_knob(dimension.path, root) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in choices
    )


def stages(training: Training) -> Iterator[tuple[int, Training]]:
    """The training as it is after each change, with the epochs before that."""
    for change in training.train.changes:
        training = with_leaves(training, change.hparams)
        yield change.after, training


def changing(training: Training) -> frozenset[str]:
    """The paths that change while it trains."""
    return frozenset(path for change in training.train.changes for path in change.hparams)


def change_mistakes(
    values: Mapping[str, Any], training: Training | TaskTraining
) -> Iterator[Mistake]:
    """The mistakes in the changes of a `training` that is valid otherwise."""
    if not training.train.changes:
        return
    knobs = [
        path for path, mark, v in marked_leaves(training) if mark is Mark.KNOB and v is not None
    ]
    at, before = ("train", "changes"), 0
    if values.get("search") is not None:
        yield Mistake(at, "is for hpo train: remove it, or remove search")
    for change in training.train.changes:
        if not before < change.after < training.train.epochs:
            bounds = f"above {before} and below train.epochs ({training.train.epochs})"
            text = f"after: {shown(change.after)} is too early or too late: write a number {bounds}"
            yield Mistake(at, text)
        before = change.after
        for path, value in change.hparams.items():
            place = place_of(type(training), values, path)
            if path not in knobs or place is None:
                text = unknown_name(path, knobs, "leaf")
                yield Mistake(at, f"after {change.after} epochs: {text}")
                continue
            owner, field = place
            errors = field_errors(owner, {field: value})
            if field in errors:
                text = leaf_mistake(owner, field, value, errors)
                yield Mistake(at, f"after {change.after} epochs: {path}: {text}")


def schedule_mistakes(
    values: Mapping[str, Any], training: Training, space: SearchSpace
) -> Iterator[Mistake]:
    """The mistakes in the schedules of numbers."""
    at, train = ("train", "schedules"), training.train
    if not train.schedules:
        return
    knobs = [path for path, mark, v in marked_leaves(training) if mark is Mark.KNOB]
    for path, schedule in train.schedules.items():
        place = place_of(type(training), values, path)
        if path not in knobs or place is None:
            yield Mistake(at, unknown_name(path, knobs, "leaf"))
            continue
        start = leaf_at(training, path)
        if not start and path in space.by_path:
            continue  # each trial has a value of its own
        if start is None:
            yield Mistake(at, f"{path} is off here: give it the value of the first epoch")
        elif path in changing(training):
            yield Mistake(at, f"{path} has train.changes too: remove one of them")
        else:
            yield from _value_mistakes(path, schedule, start, place)


def _value_mistakes(path: str, schedule: Any, start: Any, place: Any) -> Iterator[Mistake]:
    """The mistakes in the values that a schedule comes to from the value of its leaf."""
    at, (owner, field) = ("train", "schedules"), place
    values = [
        round(value) if isinstance(start, int) and isfinite(value) else float(value)
        for value in turns(schedule, start)
    ]
    falls = [after for before, after in pairwise(values) if after < before]
    if falls and path == "updates.accumulate":
        text = f"{path} falls to {shown(falls[0])}, and batches under way would have no update"
        yield Mistake(at, f"{text}: let it grow")
    elif start == 0 and not hasattr(schedule, "to"):
        yield Mistake(at, f"{path} is 0, which no factor changes: use linear, cosine or polynomial")
    for value in dict.fromkeys(values):
        errors = field_errors(owner, {field: value})
        if field in errors:
            yield Mistake(at, f"{path}: {leaf_mistake(owner, field, value, errors)}")
            break


def population_mistakes(
    search: SearchSpec, train: TrainSpec, space: SearchSpace, root: type[Spec], folds: int | None
) -> Iterator[Mistake]:
    """The settings that population based training does not go with."""
    scheduler, epochs, at = search.scheduler, train.epochs, ("search", "scheduler")
    if not SCHEDULERS[scheduler.name].changes_hparams:
        return
    if scheduler.interval >= epochs:
        text = f"is not below train.epochs ({epochs}), so no trials would be compared"
        yield Mistake((*at, "interval"), f"{scheduler.interval} {text}: lower it or train longer")
    if train.seeds > 1:
        text = "pbt copies a trial as one lane, and each seed is a lane"
        yield Mistake(("train", "seeds"), f"cannot be {train.seeds}: {text}. Leave it at 1")
    if folds is not None:
        text = "pbt copies a trial as one lane, and each fold is a lane"
        yield Mistake(("data", "folds"), f"cannot be {folds}: {text}. Leave it out")
    if SAMPLERS[search.sampler.name].learns:
        text = f"{search.sampler.name} learns from fixed hparams, and pbt changes them"
        yield Mistake(("search", "sampler"), f"{text}: write sampler: {{name: random}}")
    if len(space) and not any(can_change(dimension, root) for dimension in space.dimensions):
        text = "pbt changes numbers while trials train, and none varies here"
        yield Mistake(at, f"{text}: add one to the space, such as optimizer.learning_rate")
