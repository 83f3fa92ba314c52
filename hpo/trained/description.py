"""What a trained model takes and gives: the file `model.json` of its folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.data.transforms.features import Features, first_twice
from hpo.data.transforms.transform import FittedTransform
from hpo.errors import HpoError
from hpo.spec.sections.data import Task
from hpo.spec.words import shown
from hpo.trained.save import MODEL_FILE

# Raise it with a change that earlier releases cannot read.
FORMAT = 2
# Tasks with an output for each class.
_OF_CLASSES = ("classification", "segmentation")
_MOST_BYTES = 256 << 20
_MOST_NUMBERS = 1 << 31  # of one example


@dataclass(frozen=True)
class Description:
    """The examples and answers of a model.

    `shape` and `type` are those of an example as it reaches the model. `fold` is the fold by whose
    scale the metrics of a mean prediction are told; None without folds.
    """

    task: Task
    outputs: int
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    type: str
    features: Features
    fold: int | None = None

    @classmethod
    def of(cls, data: DataSet) -> Self:
        """That of the models of a data set."""
        folds = [one.fingerprint for one in data.folds]
        biggest = max(data.members, key=lambda one: len(one.train))
        return cls(
            data.task,
            data.outputs,
            data.classes,
            data.train.example_shape,
            data.train.example_type,
            data.features,
            folds.index(biggest.fingerprint) if folds else None,
        )

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "format": FORMAT,
            "task": self.task,
            "outputs": self.outputs,
            "classes": [*self.classes],
            "shape": [*self.shape],
            "type": self.type,
            "fold": self.fold,
            "features": self.features.to_plain(),
        }

    @classmethod
    def read(cls, folder: Path) -> Self:
        """That of the model in a folder.

        Raises:
            HpoError: for a folder that says none, or another thing.
        """
        file = folder / MODEL_FILE
        if not folder.exists():
            raise HpoError(f"{folder}: there is no such folder: give one that hpo train wrote.")
        if not file.is_file():
            raise HpoError(
                f"{folder}: has no {MODEL_FILE}, so it cannot predict: give a folder that hpo "
                "train wrote in this version."
            )
        try:
            if file.stat().st_size > _MOST_BYTES:
                raise ValueError(f"is larger than {_MOST_BYTES >> 20} MB")
            return cls._checked(json.loads(file.read_text(encoding="utf-8", errors="strict")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            why = " ".join(str(error).split())
            raise HpoError(f"{file}: cannot be read ({why:.200}): train the model again.") from None

    @classmethod
    def _checked(cls, plain: Any) -> Self:
        if not isinstance(plain, dict) or not isinstance(plain.get("format"), int):
            raise ValueError("is no description of a model")
        if plain["format"] > FORMAT:
            raise ValueError(f"is of format {plain['format']}, newer than this version of hpo")
        task: Any = plain.get("task")
        if task not in get_args(Task):
            raise ValueError(f"has the task {shown(task)}")
        classes, fold = plain.get("classes"), plain.get("fold")
        if not isinstance(classes, list) or not all(isinstance(one, str) for one in classes):
            raise ValueError("has classes that are no texts")
        outputs = _size(plain.get("outputs"))
        expected = outputs if task in _OF_CLASSES else 0
        # The tokens of a language are classes only where they have names.
        if len(classes) != expected and (task, len(classes)) != ("language", outputs):
            raise ValueError(f"has {len(classes)} classes for {outputs} outputs")
        if (twice := first_twice(classes)) is not None:
            raise ValueError(f"has the class {shown(twice)} twice")
        if not isinstance(fold, int | None) or isinstance(fold, bool):
            raise ValueError(f"has the fold {shown(fold)}")
        features = plain.get("features")
        if not isinstance(features, Mapping):
            raise ValueError("has no features")
        shape = tuple(_size(size) for size in plain.get("shape") or [None])
        if math.prod(shape) > _MOST_NUMBERS:
            raise ValueError(f"has examples of the shape {list(shape)}")
        kind = plain.get("type")
        if kind not in ("float32", "int32"):
            raise ValueError(f"has examples of type {shown(kind)}")
        return cls(
            task,
            outputs,
            tuple(classes),
            shape,
            kind,
            Features.from_plain(features),
            fold,
        )

    def data_of(self, transform: FittedTransform) -> DataSet:
        """A data set without rows, for which a program of the model is made."""
        empty = Split(
            {
                "x": np.zeros((0, *self.shape), self.type),
                "y": np.zeros(0, np.int32 if self.classes else np.float32),
            }
        )
        return DataSet(
            task=self.task,
            train=empty,
            validation=empty,
            test=None,
            outputs=self.outputs,
            fingerprint="",
            classes=self.classes,
            transform=transform,
            features=self.features,
        )


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 31:
        raise ValueError(f"has {shown(value)} where a size is expected")
    return value
