"""Writes the folder of an ensemble around those of its models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpo.trained.card import card_of
from hpo.trained.description import Description
from hpo.trained.save import (
    CARD_FILE,
    ENSEMBLE_FILE,
    MEMBERS_FOLDER,
    METRICS_FILE,
    MODEL_FILE,
    SplitMetrics,
    Trained,
    files_of,
    partial_of,
    plain_splits,
    put_in_place,
)

# Raise it with a change that earlier releases cannot read.
FORMAT = 1
# The means of answers; others are of weights.
ENSEMBLES = ("mean", "greedy")


@dataclass(frozen=True)
class Ensembled:
    """An ensemble of the trials of a study, as it was made.

    `shares` are those of the trials by their numbers, which add to 1; a trial whose share is 0 is
    not kept. `compared` are the metrics of the winner alone, of the mean of all trials and of their
    greedy mean, on the same rows; those of `kept` are the ensemble's own.
    """

    name: str
    shares: Mapping[int, float]
    compared: Mapping[str, SplitMetrics]
    kept: str
    seconds: float = 0.0
    epochs: int = 0
    temperature: float | None = None
    calibration: SplitMetrics = field(default_factory=dict)

    @property
    def members(self) -> Mapping[int, float]:
        """The shares of the trials that are kept."""
        return {number: share for number, share in self.shares.items() if share > 0}

    @property
    def metrics(self) -> SplitMetrics:
        """Those of the ensemble."""
        return self.compared[self.kept]


def name_of(number: int) -> str:
    """The name of the folder of a trial's model."""
    return f"trial-{number}"


def save_ensemble(
    folder: Path, made: Ensembled, told: Description, provenance: Mapping[str, Any]
) -> None:
    """Write `folder` around the models that lie below its partial folder, in `members/`.

    `metrics.json`, `model.json` and the card are those of any model. `ensemble.json` has the share
    of each model. Models without a share are deleted.
    """
    partial = partial_of(folder)
    shares = {name_of(number): share for number, share in made.members.items()}
    for place in partial.iterdir():
        if place.name != MEMBERS_FOLDER:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    for place in (partial / MEMBERS_FOLDER).iterdir():
        if place.name not in shares:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    trained = Trained(
        made.metrics, (), made.seconds, temperature=made.temperature, calibration=made.calibration
    )
    document: dict[str, Any] = {
        "name": made.name,
        "metrics": plain_splits(made.metrics),
        "epochs": made.epochs,
        "seconds": round(made.seconds, 3),
        "curve": [],
        "compared": {name: plain_splits(one) for name, one in made.compared.items()},
        "provenance": provenance,
    }
    if made.temperature is not None:
        document["temperature"] = made.temperature
        document["calibration_error"] = plain_splits(made.calibration)
    texts = {
        ENSEMBLE_FILE: json.dumps({"format": FORMAT, "shares": shares}) + "\n",
        MODEL_FILE: json.dumps(told.to_plain()) + "\n",
        CARD_FILE: card_of(made.name, told, trained, provenance["data_fingerprint"], shares),
    }
    for name, text in texts.items():
        (partial / name).write_text(text, encoding="utf-8")
    document["files"] = files_of(partial)
    (partial / METRICS_FILE).write_text(json.dumps(document, indent=2) + "\n")
    put_in_place(partial, folder)
