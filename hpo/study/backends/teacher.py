"""The answers of a teacher for the training rows of a study: `compression.teacher.from`.

They are computed once and lie beside the rows. Where a study changes rows at random, the teacher's
networks lie there instead and answer within each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpo.data.dataset import DataSet, Split, apart, of_folds
from hpo.engine.models.activations.sparse import NoActivationError, measured
from hpo.engine.training.compression.distillation import ANSWERS
from hpo.engine.training.compression.teaching import Network, mean_answer, scale_between
from hpo.errors import HpoError
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.experiment import Experiment
from hpo.spec.sections.compression.teacher import MATCH, teacher_of
from hpo.spec.sections.data import Task
from hpo.spec.sections.models.pretrained import TEACHER_FROM
from hpo.spec.techniques.used import holders
from hpo.spec.words import shown

if TYPE_CHECKING:
    from hpo.trained.model import Member, Model

# What a teacher may have had of its own: how features were made of the same rows.
_FEATURES = ("normalize", "range", "clip", "epsilon", "reduce", "columns", "image_size")
_SIMILARITY = "compression.teacher.similarity"
# Rows by which the scaling of a step is compared with that of the teacher.
_COMPARED = 64


@dataclass(frozen=True)
class TeacherPlan:
    """A study's teacher: the folder as written, and whether its code is trusted.

    It answers in the step if `in_step`, and shows its features there if `shows_features`.
    """

    name: str
    folder: Path
    in_step: bool
    shows_features: bool = False
    trusts_code: bool = False

    @property
    def where(self) -> str:
        """The beginning of an error's sentence."""
        return f"{TEACHER_FROM}: {shown(self.name)}"


class _TeacherModel(NamedTuple):
    """A model of a teacher: its share of the mean answer, and the data set as it takes it."""

    model: Model
    share: float
    data: DataSet

    @property
    def folds(self) -> int:
        """The folds of its data; 1 without."""
        return len(self.data.members)

    def members(self, fold: int | None) -> Sequence[Member]:
        """The members that have not seen the validation rows of a fold; all of them without."""
        # The runs of a seed are those of its folds in order.
        return self.model.members if fold is None else self.model.members[fold :: self.folds]


def teacher_plan(experiment: Experiment, *, trusts_code: bool = False) -> TeacherPlan | None:
    """The teacher that an experiment names; None without one.

    It answers in the step if any trial may change its rows or compares their similarities.
    """
    training: Any = experiment.training
    name = teacher_of(training)
    if name is None:
        return None
    if isinstance(training, TaskTraining):  # whose step changes rows itself, and gets answers
        return TeacherPlan(name, experiment.folder, in_step=False, trusts_code=trusts_code)
    changes = {path for change in training.train.changes for path in change.hparams}
    # A winner that drew 0 trains as its study did, with the teacher in the step.
    named = {*training.train.schedules, *training.train.varying}
    paths = {*changes, *named, *(dimension.path for dimension in experiment.space.dimensions)}
    varies = any(path.split(".")[0] == "augment" or path == _SIMILARITY for path in paths)
    is_similar = training.compression.teacher.similarity != 0
    in_step = varies or is_similar or any(holders(training, "changed rows"))
    shows = MATCH in paths or training.compression.teacher.match != "logits"
    return TeacherPlan(name, experiment.folder, in_step, shows, trusts_code)


def taught_by(
    plan: TeacherPlan, data: DataSet, reread: Callable[[dict[str, Any]], DataSet]
) -> DataSet:
    """A data set whose rows that train have a teacher's outputs as an array, or which has it.

    It trained on the same rows, so that its answers tell nothing of validation rows. Of folds, the
    member answers that trained on the fold. `reread` gives the data set with other leaves of the
    section `data`, for one that scales in its own way.

    Raises:
        HpoError: for a folder without a trained model, or one of other data.
    """
    from hpo.trained.ensembles.ensemble import Ensemble, load_answering  # few studies read models
    from hpo.trained.remote import named_model

    there = named_model(plan.name, plan.folder, TEACHER_FROM)
    found = load_answering(there, is_trusted=plan.trusts_code)
    parts = (
        zip(found.models, found.shares, strict=True)
        if isinstance(found, Ensemble)
        else [(found, 1.0)]
    )

    @cache  # the models of an ensemble often make their features alike
    def reread_as(*leaves: Any) -> DataSet:
        return reread(dict(zip(_FEATURES, leaves, strict=True)))

    models = [
        _TeacherModel(model, share, _as_seen(plan, model, data, reread_as))
        for model, share in parts
    ]
    for one in models:
        _check(plan, one.model, data)
    # The answers for each position of a text would take a vocabulary's width of memory.
    if plan.in_step or data.task == "language":
        return _with_networks(plan, models, data, data)
    # A trial that compares no features learns the same answers as where none does.
    answered = _of_folds(models, data) if data.folds else _of_one(models, data)
    return _with_networks(plan, models, data, answered) if plan.shows_features else answered


def _as_seen(
    plan: TeacherPlan, model: Model, data: DataSet, reread_as: Callable[..., DataSet]
) -> DataSet:
    """The data set with the features that a teacher takes."""
    from hpo.trained.load import data_fingerprint

    wanted = data_fingerprint(model.folder)
    if wanted == data.fingerprint:
        return data
    section = model.training.data
    other = reread_as(*(getattr(section, name) for name in _FEATURES))
    if other.fingerprint == wanted:
        return other
    raise HpoError(
        f"{plan.where} was trained on other rows, or makes its features in another way: train it "
        "with the section data of this spec, so that it has seen no validation rows."
    )


def _check(plan: TeacherPlan, model: Model, data: DataSet) -> None:
    """Refuse answers of another shape, and a model that has seen the rows of every fold."""
    own = math.prod(data.train.y.shape[1:]) if data.task == "regression" else data.outputs
    if model.description.outputs != own:
        raise HpoError(
            f"{plan.where} has {model.description.outputs} answers where the data have {own}, as "
            "those with quantiles do: name another."
        )
    if data.folds and len(model.members) % len(data.folds):
        raise HpoError(
            f"{plan.where} has seen the validation rows of every fold: train it without --refit."
        )


def _of_one(models: Sequence[_TeacherModel], data: DataSet) -> DataSet:
    """The data set whose training rows, then its extra ones, have the answers."""
    names = ["train"] if data.extra is None else ["train", "extra"]
    parts = [_answers(models, data.task, name) for name in names]
    held = {**data.resident, ANSWERS: np.concatenate(parts)}
    rows = len(data.train)
    places = slice(0, rows), slice(rows, rows + sum(map(len, parts[1:])))
    splits: dict[str, Any] = {
        name: Split(held, own, data.train.scale) for name, own in zip(names, places, strict=False)
    }
    return replace(data, **splits)


def _of_folds(models: Sequence[_TeacherModel], data: DataSet) -> DataSet:
    """The data set of folds whose training rows have the answers of the fold's own members."""
    # A row has another answer in each fold.
    data = apart(data) if _share_rows(data) else data
    resident = data.resident
    answers: Any = None
    for number, fold in enumerate(data.folds):
        for name in ("train", "extra"):
            if name not in fold.splits:
                continue
            found = _answers(models, data.task, name, number)
            if answers is None:
                answers = np.zeros((len(resident["y"]), *found.shape[1:]), np.float32)
            answers[fold.splits[name].places] = found
    held = {**resident, ANSWERS: answers}
    folds = []
    for fold in data.folds:
        own: dict[str, Any] = {
            name: Split(held, split.rows, split.scale)
            for name, split in fold.splits.items()
            if name != "test"
        }
        folds.append(replace(fold, **own))
    return of_folds(folds)


def _share_rows(data: DataSet) -> bool:
    """Whether a row lies once and trains in several folds."""
    places = np.concatenate([fold.train.places for fold in data.folds])
    return len(np.unique(places)) < len(places)


def _answers(
    models: Sequence[_TeacherModel], task: Task, name: str, fold: int | None = None
) -> np.ndarray:
    """The outputs of a teacher for the rows of a split, float32 `[N, ..., K]`."""
    from hpo.trained.model import JUDGED_ROWS

    found, shares = [], []
    for one in models:
        own = one.data if fold is None else one.data.folds[fold]
        members, x = one.members(fold), own.splits[name].x
        found += [one.model.outputs(member, x, JUDGED_ROWS) for member in members]
        shares += [one.share / len(members)] * len(members)
    if len(found) == 1:
        return found[0]
    mean = mean_answer(task, jnp.stack(found), jnp.array(shares, jnp.float32))
    return np.asarray(mean)


def _with_networks(
    plan: TeacherPlan, models: Sequence[_TeacherModel], data: DataSet, found: DataSet
) -> DataSet:
    """`found` with the networks of a teacher for `data`; those of its folds are stacked."""
    if not data.folds:
        return replace(found, teacher=_networks(plan, models, data, None))
    each = [_networks(plan, models, data, number) for number in range(len(data.folds))]
    stacked = jax.tree.map(lambda *arrays: np.stack(arrays), *each)
    return replace(found, teacher=stacked)


def _networks(
    plan: TeacherPlan, models: Sequence[_TeacherModel], data: DataSet, fold: int | None
) -> tuple[Network, ...]:
    """The networks of a teacher for one fold, for features as `data` has them."""
    found: list[Network] = []
    for part in models:
        model, scale = part.model, None
        if part.data is not data:
            ways = [each if fold is None else each.folds[fold] for each in (data, part.data)]
            scale = _scale(plan, *ways)
        members = part.members(fold)
        share = np.float32(part.share / len(members))
        program = model.program.of_its_own(model.training)
        for member in members:
            one = Network(jax.device_get(member.weights), scale, share, program, model.training)
            found.append(_with_features(plan, one, data) if plan.shows_features else one)
    return tuple(found)


def _with_features(plan: TeacherPlan, network: Network, data: DataSet) -> Network:
    """A network with the number of its features, for examples of a student.

    Raises:
        HpoError: for a model without any activation.
    """
    example = jax.ShapeDtypeStruct((1, *data.train.example_shape), data.train.example_type)
    widths: list[int] = []

    def run(x: Any) -> None:
        with measured(lambda y, _: y.shape[-1], MATCH) as units:
            network.outputs(network.program, x)
        widths.append(units[-1])

    try:
        jax.eval_shape(run, example)
    except NoActivationError:
        raise HpoError(
            f"{plan.where} has no model.activation, whose features {MATCH} compares: write match: "
            "logits, or name another."
        ) from None
    return replace(network, features=widths[-1])


def _scale(plan: TeacherPlan, data: DataSet, own: DataSet) -> tuple[np.ndarray, np.ndarray]:
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
        f"{plan.where} makes its features in another way, which no step can repeat beside "
        "augment: train it with the section data of this spec, or remove augment."
    )
