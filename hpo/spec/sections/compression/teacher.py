"""The part `compression.teacher` of a spec: a trained model whose answers a smaller one learns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from hpo.space import SearchSpace
from hpo.spec.file.document import Mistake
from hpo.spec.marks import Knob, NonNegative, Positive, ReadWhere, Spec, Static
from hpo.spec.sections.models.pretrained import (
    FROM,
    TEACHER_FROM,
    ModelName,
    folder_trouble,
    named_folders,
)

WEIGHT, TEMPERATURE = 0.7, 4.0
ENSEMBLE_FILE = "ensemble.json"  # in the folders of hpo ensemble
MATCH = "compression.teacher.match"
_Part = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


_Named: Any = Annotated[
    ModelName,
    Field(
        default=None,
        description="A folder of hpo train or hpo ensemble, on the same data, its URL, or "
        "a trial: {study: NAME, trial: 7}.",
    ),
]


class Teacher(Spec):
    """A trained model whose answers for the training rows are targets, too; none by default.

    Source: Hinton et al. 2015, "Distilling the knowledge in a neural network" (arXiv:1503.02531).
    """

    # Written so, because `from` is a word of Python's own.
    __annotations__ = {"from": _Named}
    match: Static[Literal["logits", "features", "both"]] = "logits"
    """What the teacher's part of the loss compares. `logits`: the answers. `features`: what the
    last activations of both models answer, by the mean squared difference after a linear map that
    is trained beside the model. `both`: the sum.

    Source: Romero et al. 2015, "FitNets: hints for thin deep nets" (arXiv:1412.6550)."""
    weight: Knob[_Part | None] = None
    """The part of the loss that compares with the teacher; 0.7 if left out. With 0 the model
    learns without it."""
    temperature: Annotated[Knob[Positive | None], ReadWhere("match", ("logits", "both"))] = None
    """The number by which the outputs of both are divided before classes are compared; 4 if left
    out. A larger one tells more of the unlikely classes."""
    similarity: Knob[NonNegative] = 0.0
    """Adds this many times the mean squared difference between the similarities of the rows of a
    batch in the last hidden layer of both models; off by default.

    Source: Tung and Mori 2019, "Similarity-preserving knowledge distillation"
    (arXiv:1907.09682)."""


class TaskTeacher(Spec):
    """A trained model whose answers a task of a user's own gets with each batch."""

    __annotations__ = {"from": _Named}


class TaskCompression(Spec):
    """What a task of a user's own may learn from."""

    teacher: TaskTeacher = TaskTeacher()
    """A trained model, whose outputs are `batch["teacher"]`; none by default."""


def teacher_of(training: Any) -> str | None:
    """The folder of the teacher of a training of any kind; None without one."""
    teacher = getattr(getattr(training, "compression", None), "teacher", None)
    found = getattr(teacher, "from", None)
    return found if isinstance(found, str) else None


def leaves_of_models(training: Any, space: SearchSpace) -> dict[str, str]:
    """The folders of trained models that a training of any kind names, and the leaf of each."""
    names = named_folders(getattr(training, "model", None), space)
    teacher = teacher_of(training)
    return dict.fromkeys(names, FROM) | ({} if teacher is None else {teacher: TEACHER_FROM})


def teacher_mistakes(training: Any, folder: Path) -> Iterator[Mistake]:
    """What is wrong with the teacher of a training, as far as its files tell.

    Its weights are not read. A relative name starts at `folder`.
    """
    name = teacher_of(training)
    if name is None:
        return
    there = folder / Path(name).expanduser()
    if (there / ENSEMBLE_FILE).is_file():
        return
    if text := folder_trouble(name, there):
        yield Mistake(("compression", "teacher", "from"), text)
