"""The answers of a teacher for the training rows of a study: `compression.teacher.from`.

They are computed once and lie beside the rows. Where a study changes rows at random, the teacher's
networks lie there instead and answer within each step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.compression.distillation import ANSWERS
from hpo.engine.training.compression.teaching import Network, scale_between
from hpo.errors import HpoError
from hpo.spec.experiment import Experiment
from hpo.spec.sections.compression.teacher import teacher_of
from hpo.spec.techniques.used import holders
from hpo.spec.words import shown

_TASKS = ("classification", "multilabel", "regression", "segmentation")
# What a teacher may have had of its own: how features were made of the same rows.
_FEATURES = ("normalize", "range", "clip", "epsilon", "reduce", "columns")
# Rows by which the scaling of a step is compared with that of the teacher.
_COMPARED = 64


@dataclass(frozen=True)
class Lesson:
    """A study's teacher: the folder as written, whether it answers in the step, and its code."""

    name: str
    folder: Path
    in_step: bool
    trusts_code: bool = False

    @property
    def where(self) -> str:
        """The beginning of an error's sentence."""
        return f"compression.teacher.from: {shown(self.name)}"


def lesson_of(experiment: Experiment, *, trusts_code: bool = False) -> Lesson | None:
    """The teacher that an experiment names; None without one.

    It answers in the step if any trial may change its rows.
    """
    training: Any = experiment.training
    name = teacher_of(training)
    if name is None:
        return None
    changes = {path for change in training.train.changes for path in change.hparams}
    paths = {*changes, *training.train.schedules, *(d.path for d in experiment.space.dimensions)}
    varies = any(path.split(".")[0] == "augment" for path in paths)
    in_step = varies or any(holders(training, "changed rows"))
    return Lesson(name, experiment.folder, in_step, trusts_code)


def taught_by(
    lesson: Lesson, data: DataSet, reread: Callable[[dict[str, Any]], DataSet]
) -> DataSet:
    """A data set whose rows that train have a teacher's outputs as an array, or which has it.

    It trained on the same rows, so that its answers tell nothing of validation rows. `reread`
    gives the data set with other leaves of the section `data`, for one that scales in its own way.

    Raises:
        HpoError: for a folder without a trained model, or one of other data.
    """
    from hpo.trained.model import load_model  # reads models, and few studies have one

    if data.task not in _TASKS:
        raise HpoError(f"{lesson.where}: a teacher answers for classes or values, not {data.task}.")
    there = (lesson.folder / Path(lesson.name).expanduser()).resolve()
    model = load_model(there, is_trusted=lesson.trusts_code)
    own = _as_seen(lesson, model, data, reread)
    _check_answers(lesson, model, data)
    if lesson.in_step:
        return replace(data, teacher=_networks(lesson, model, data, own))
    return _with_answers(data, [model.outputs(part.x) for part in _trained(own)])


def _trained(data: DataSet) -> list[Split]:
    """The rows that train, extra ones last."""
    return [data.train] if data.extra is None else [data.train, data.extra]


def _as_seen(
    lesson: Lesson, model: Any, data: DataSet, reread: Callable[[dict[str, Any]], DataSet]
) -> DataSet:
    """The data set with the features that a teacher takes."""
    from hpo.trained.load import data_fingerprint

    wanted = data_fingerprint(model.folder)
    if wanted == data.fingerprint:
        return data
    section = model.training.data
    other = reread({name: getattr(section, name) for name in _FEATURES})
    if other.fingerprint == wanted:
        return other
    raise HpoError(
        f"{lesson.where} was trained on other rows: train it with the section data of this spec, "
        "so that it has seen no validation rows."
    )


def _check_answers(lesson: Lesson, model: Any, data: DataSet) -> None:
    """Refuse several answers for a target, and a scale of targets of the teacher's own."""
    targets = data.train.y[:1].size
    if data.task == "regression" and model.description.outputs != targets:
        raise HpoError(
            f"{lesson.where} has several answers for a target, as quantiles are: name another."
        )


def _with_answers(data: DataSet, parts: list[np.ndarray]) -> DataSet:
    """The data set whose training rows, then its extra ones, have these answers."""
    answers = np.concatenate(parts)
    held, rows = {**data.resident, ANSWERS: answers}, len(data.train)
    own = slice(0, rows), slice(rows, len(answers))
    train, *extra = (Split(held, one, data.train.scale) for one, _ in zip(own, parts, strict=False))
    return replace(data, train=train, extra=extra[0] if extra else None)


def _networks(lesson: Lesson, model: Any, data: DataSet, own: DataSet) -> tuple[Network, ...]:
    """The networks of a teacher, for features as `data` has them."""
    scale = None if own is data else _scale(lesson, data, own)
    program = model.program.of_its_own(model.training)
    share = np.float32(1 / len(model.members))
    return tuple(
        Network(jax.device_get(one.weights), scale, share, program, model.training.model)
        for one in model.members
    )


def _scale(lesson: Lesson, data: DataSet, own: DataSet) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that turn features of `data` into those of `own`.

    Raises:
        HpoError: where a factor and an offset for each feature do not.
    """
    ways = [(one.transform.offset, one.transform.divisor) for one in (data, own)]
    first, wanted = (one.train.x[:_COMPARED] for one in (data, own))
    if first.shape == wanted.shape:
        scale = scale_between(*ways)
        try:
            found = first * scale[0] + scale[1]
        except ValueError:  # numbers of other columns
            found = np.zeros(0)
        if found.shape == wanted.shape and np.allclose(found, wanted, rtol=1e-4, atol=1e-4):
            return scale
    raise HpoError(
        f"{lesson.where} makes its features in another way, which no step can repeat beside "
        "augment: train it with the section data of this spec, or remove augment."
    )
