"""The program and the knobs of a training: what is compiled, and the numbers it is given.

Two trainings share a program when they differ in plain numbers alone. The same spec classes serve
both sides: inside a compiled program the spec's knobs are traced arrays, so that a model or an
optimizer reads `spec.learning_rate` and need not know of lanes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.dataset import DataSet
from hpo.spec.data import Task
from hpo.spec.experiment import Training
from hpo.spec.marks import Mark, marked_leaves, with_leaves

if TYPE_CHECKING:
    from jaxtyping import Array, Float

# Every schedule spans it, so each program takes it as a number.
_EPOCHS = "train.epochs"
# Stands for a knob in a template: a number, so that it is not taken for one that is switched off.
_BLANK = math.inf


@dataclass(frozen=True)
class Program:
    """Everything that fixes compiled code; equal programs run each other's trials as lanes.

    `template` is a training whose knobs are blank, `knobs` the paths of the leaves to be filled in.
    """

    template: Training
    knobs: tuple[str, ...]
    platform: str  # "cpu", "gpu" or "tpu": convolutions take another form on CPU
    task: Task
    example_shape: tuple[int, ...]
    outputs: int
    train_rows: int

    @property
    def batch_size(self) -> int:
        """Examples a step."""
        return self.template.data.batch_size

    @property
    def steps(self) -> int:
        """Steps an epoch; a last partial batch is left out."""
        return self.train_rows // self.batch_size

    @cached_property
    def label(self) -> str:
        """A short name that is the same in every process."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    def fill(self, knobs: Float[Array, " K"]) -> Training:
        """The training with its knobs filled in, traced or not."""
        return with_leaves(self.template, {path: knobs[i] for i, path in enumerate(self.knobs)})


def split(
    training: Training, data: DataSet, platform: str, varying: Set[str] = frozenset()
) -> tuple[Program, np.ndarray]:
    """The program of `training` on `data` and its knobs, float32 `[K]`.

    A knob that is zero and not among the `varying` paths of the space stays a constant, so that
    what it would scale (a dropout, a penalty) is left out of the program.
    """
    study_wide = {"train.seed": 0, "train.seeds": 1, "train.stream": 0, "train.lanes": 1}
    blank: dict[str, Any] = {**study_wide, "train.changes": (), _EPOCHS: _BLANK}
    knobs: dict[str, float] = {_EPOCHS: training.train.epochs}
    for path, mark, value in marked_leaves(training):
        if mark is Mark.HOST:
            blank[path] = None
        elif mark is Mark.KNOB and value is not None and (value != 0 or path in varying):
            blank[path] = _BLANK
            knobs[path] = value
    program = Program(
        template=with_leaves(training, blank),
        knobs=tuple(knobs),
        platform=platform,
        task=data.task,
        example_shape=data.train.x.shape[1:],
        outputs=data.outputs,
        train_rows=len(data.train),
    )
    return program, np.array(list(knobs.values()), np.float32)


def is_off(knob: Any) -> bool:
    """Whether a knob is the constant zero, so that what it scales can be left out."""
    return isinstance(knob, int | float) and knob == 0
