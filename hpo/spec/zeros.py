"""Knobs that are zero but still numbers of a program: `train.varying`.

What a constant zero would scale, such as a dropout, is left out of a program. A study whose space
varies the knob cannot leave it out, so its winner trains to the same bits only in a program that
keeps it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from hpo.spec.experiment import Training
from hpo.spec.file.document import Mistake
from hpo.spec.marks import Mark, Spec, marked_leaves
from hpo.spec.merging import served
from hpo.spec.words import unknown_name


def varying_zeros(training: Training, varying: Set[str]) -> tuple[str, ...]:
    """Which of the `varying` paths are zero in a training, or in a part that its program serves."""
    return tuple(
        dict.fromkeys(path for path, value in _knobs(training) if value == 0 and path in varying)
    )


def varying_mistakes(values: Mapping[str, Any], training: Training) -> Iterator[Mistake]:
    """The mistakes in the paths that an otherwise valid `training` names as varying."""
    at, named = ("train", "varying"), training.train.varying
    if not named:
        return
    if values.get("search") is not None:
        yield Mistake(at, "is for hpo train: remove it, or remove search")
    knobs = [path for path, _ in _knobs(training)]
    for path in named:
        if path not in knobs:
            yield Mistake(at, unknown_name(path, knobs, "leaf"))


def _knobs(training: Training) -> Iterator[tuple[str, float]]:
    """Path and value of the knobs of a training, and of what else its program serves."""
    parts: list[tuple[str, Any]] = [("", training)]
    parts += [
        (f"{path}.", part)
        for path, options in served(training).items()
        for part in options
        if isinstance(part, Spec)
    ]
    for prefix, part in parts:
        for path, mark, value in marked_leaves(part, prefix):
            if mark is Mark.KNOB and value is not None:
                yield path, value
