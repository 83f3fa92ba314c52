"""The program of a task of a user's own: its class, static values and the shapes of its data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.labels import BLANK
from hpo.engine.program import Program
from hpo.spec.code.own_code import arguments_of
from hpo.spec.code.own_task import TaskSpec, TaskTraining, said_by
from hpo.spec.code.reference import Code
from hpo.spec.marks import Mark, marked_leaves, with_leaves
from hpo.spec.words import shown


@dataclass(frozen=True)
class TaskProgram:
    """Everything that decides the compiled code of a task; its trials train as lanes of one pool.

    `task` is the section with blank knobs, and `knobs` are the names of these. `steps` are those of
    an epoch, and `rows` those of a step; 0 without data. `shapes` are those of the data's arrays,
    without their rows. Nothing is merged.
    """

    code: Code
    task: TaskSpec
    knobs: tuple[str, ...]
    metrics: tuple[str, ...]
    platform: str
    steps: int
    rows: int = 0
    train_rows: int = 0
    shapes: tuple[tuple[str, tuple[int, ...], str], ...] = ()

    @property
    def order_shape(self) -> tuple[int, int]:
        """The number of steps in an epoch, and the rows of each."""
        return self.steps, self.rows

    @cached_property
    def label(self) -> str:
        """A short name that is the same in every process and folder."""
        known = (self.code.text, self.code.sha256, self._static, self.knobs, self.metrics)
        sizes = (self.platform, self.steps, self.rows, self.train_rows, self.shapes)
        return hashlib.sha256(repr((known, sizes)).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        """A description by the values in which programs of a study differ."""
        static = [f"{name} {shown(value)}" for name, value in self._static]
        return ", ".join([self.code.text, *static, *([f"{self.rows} rows"] if self.rows else [])])

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What the constructor of the class gets; a default that Python computes is left to it."""
        static, given = dict(self._static), arguments_of(self.task)
        return {name: value for name, value in given.items() if name in static}

    @cached_property
    def _static(self) -> tuple[tuple[str, Any], ...]:
        """Name and value of each argument of the constructor."""
        return tuple(
            (name, value) for name, mark, value in marked_leaves(self.task) if mark is Mark.STATIC
        )


# A program of either kind, as pools, the compiler and executors take it.
AnyProgram: TypeAlias = Program | TaskProgram


def split_task(
    training: TaskTraining, data: DataSet, platform: str
) -> tuple[TaskProgram, np.ndarray]:
    """The program of a training of an own task, and its knobs, float32 `[K]`."""
    section, own = training.task, training.task.own
    assert own.code is not None, "the code is found before anything trains"
    names = tuple(sorted(path for path, mark, _ in marked_leaves(section) if mark is Mark.KNOB))
    said = said_by(own)
    steps, rows = said.steps, 0
    if training.data_spec is not None:
        rows = training.data_spec.step_rows
        steps = steps or len(data.train) // rows
    program = TaskProgram(
        code=own.code,
        task=with_leaves(section, dict.fromkeys(names, BLANK)),
        knobs=names,
        metrics=tuple(name for name, _ in said.metrics),
        platform=platform,
        steps=steps,
        rows=rows,
        train_rows=len(data.train),
        shapes=tuple((n, a.shape[1:], str(a.dtype)) for n, a in data.train.arrays.items()),
    )
    return program, np.array([getattr(section, name) for name in names], np.float32)
