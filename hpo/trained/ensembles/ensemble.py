"""Several trained models that answer together, read from the folder of an ensemble."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.data.source import Source
from hpo.engine.training.ensemble import metrics_of
from hpo.errors import HpoError
from hpo.spec.experiment import Training
from hpo.spec.sections.data import TableFile
from hpo.trained.blocks import JUDGING, told_where_exhausted
from hpo.trained.description import Description
from hpo.trained.ensembles.write import FORMAT
from hpo.trained.model import JUDGED_ROWS, Member, Model, load_model, temperature_of
from hpo.trained.save import ENSEMBLE_FILE, MEMBERS_FOLDER

_NAME = re.compile(r"trial-\d{1,9}", re.ASCII)
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Models of the same rows and targets; `shares` are their weights in the mean, which add to 1.

    Each makes the features of its own. What they share is told as the first one tells it.
    """

    folder: Path
    models: tuple[Model, ...]
    shares: tuple[float, ...]
    temperature: float = 1.0

    @property
    def description(self) -> Description:
        """The examples and answers of the ensemble."""
        return self.models[0].description

    @property
    def training(self) -> Training:
        """The training of the first model, whose loss and metrics judge the ensemble."""
        return self.models[0].training

    @property
    def data(self) -> DataSet:
        """The data set without rows, by whose scale answers are told."""
        return self.models[0].data

    @property
    def members(self) -> tuple[Member, ...]:
        """The members of all models."""
        return tuple(member for model in self.models for member in model.members)

    @property
    def series(self) -> TableFile | None:
        """The table of the series that the first model forecasts; None for others."""
        return self.models[0].series

    @property
    def thresholds(self) -> np.ndarray | None:
        """The chances above which labels are found: the mean of the models'; None without."""
        own = [model.thresholds for model in self.models]
        found = [one for one in own if one is not None]
        return np.average(found, axis=0, weights=self.shares) if len(found) == len(own) else None

    def predictions(self, source: Source, rows: int | None = None) -> np.ndarray:
        """The mean of the models' predictions; see `Model.predictions`."""
        return self.mean_of(self.features_of(source), rows)

    def features_of(self, source: Source) -> list[np.ndarray]:
        """The features of some examples, as each of the members takes them."""
        return [one for model in self.models for one in model.features_of(source)]

    def mean_of(self, features: Sequence[np.ndarray], rows: int | None = None) -> np.ndarray:
        """The predictions for features, of each member its own."""
        total: Any = 0.0
        own = iter(features)
        for model, share in zip(self.models, self.shares, strict=True):
            total = total + share * model.mean_of([*islice(own, len(model.members))], rows)
        found: np.ndarray = total
        return found

    def judged(self, source: Source) -> Split:
        """The targets of examples, on the scale of `data`; see `Model.judged`."""
        return self.models[0].judged(source)

    def score(self, source: Source) -> dict[str, float]:
        """The metrics of the answers for examples with targets.

        Raises:
            DeviceError: where the memory is too small for that.
        """
        with told_where_exhausted(self.folder, JUDGING):
            found = self.predictions(source, JUDGED_ROWS)
            return metrics_of(found, self.training, self.data, self.judged(source))


Answering: TypeAlias = Model | Ensemble


def models_of(model: Answering) -> tuple[Model, ...]:
    """The models of an ensemble, or the model alone."""
    return model.models if isinstance(model, Ensemble) else (model,)


def shares_of(model: Answering) -> tuple[tuple[Model, float], ...]:
    """The models of an ensemble with their shares in the mean, or the model alone."""
    if isinstance(model, Ensemble):
        return tuple(zip(model.models, model.shares, strict=True))
    return ((model, 1.0),)


def block_rows(model: Answering) -> int:
    """The rows that go through each member at once; see `hpo.trained.blocks`."""
    return min(one.blocks.rows for one in models_of(model))


def load_answering(
    folder: Path, device: str | None = None, *, is_trusted: bool = False
) -> Answering:
    """The model or the ensemble in a folder; see `load_model`."""
    file = folder / ENSEMBLE_FILE
    if not file.is_file():
        return load_model(folder, device, is_trusted=is_trusted)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"is larger than {_MOST_BYTES >> 20} MB")
        shares = _shares(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise HpoError(f"{file}: cannot be read ({why:.200}): make the ensemble again.") from None
    models = tuple(
        load_model(folder / MEMBERS_FOLDER / name, device, is_trusted=is_trusted) for name in shares
    )
    each = [
        (one.description.task, one.description.classes, one.description.features) for one in models
    ]
    if any(one != each[0] for one in each):
        raise HpoError(f"{folder}: its members answer different questions: make it again.")
    return Ensemble(folder, models, tuple(shares.values()), temperature_of(folder))


def _shares(plain: Any) -> dict[str, float]:
    """The share of each member by the name of its folder.

    Raises:
        ValueError: for anything else, with what is wrong.
    """
    if not isinstance(plain, dict) or not isinstance(plain.get("format"), int):
        raise ValueError("is no ensemble")
    if plain["format"] > FORMAT:
        raise ValueError(f"is of format {plain['format']}, newer than this version of hpo")
    shares = plain.get("shares")
    if not isinstance(shares, dict) or not shares or not all(map(_NAME.fullmatch, shares)):
        raise ValueError("names no members")
    if not all(isinstance(one, float) and 0 < one <= 1 for one in shares.values()):
        raise ValueError("has a share that is not between 0 and 1")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError("has shares that do not add up to 1")
    return shares
