"""Reads the folder of a trained model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.errors import HpoError
from hpo.trained.save import METRICS_FILE, SplitMetrics

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class TrainedModel:
    """A model that `hpo.train` has left in `folder`.

    `metrics` are those of the splits `validation` and `test` (None without a test split) after the
    last of `epochs` epochs; NaN where they are not finite. With several seeds they are means, and
    `deviations` are their standard deviations; it is empty with one. `seconds` is how long the
    training took.
    """

    folder: Path
    name: str
    metrics: SplitMetrics
    deviations: SplitMetrics
    epochs: int
    seconds: float

    @classmethod
    def read(cls, folder: str | Path) -> TrainedModel:
        """The model in a folder.

        Raises:
            HpoError: for a folder that `hpo train` has not written.
        """
        document = _document(Path(folder))
        return cls(
            Path(folder),
            document["name"],
            _splits(document["metrics"]),
            _splits(document.get("deviations", {})),
            document["epochs"],
            document["seconds"],
        )

    def curve(self) -> DataFrame:
        """The validation metrics of each epoch as a pandas DataFrame, indexed by epoch."""
        import pandas as pd

        rows = [_numbers(row) for row in _document(self.folder)["curve"]]
        return pd.DataFrame(rows).astype({"epoch": "int64"}).set_index("epoch")


def _document(folder: Path) -> dict[str, Any]:
    path = folder / METRICS_FILE
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HpoError(f"{path}: cannot be read: give a folder that hpo train wrote.") from error
    return document


def _splits(found: Mapping[str, Any]) -> SplitMetrics:
    return {split: None if row is None else _numbers(row) for split, row in found.items()}


def _numbers(row: Mapping[str, float | None]) -> dict[str, float]:
    # JSON has no NaN: null stands for it.
    return {name: math.nan if value is None else value for name, value in row.items()}
