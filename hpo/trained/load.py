"""Reads the folder of a trained model."""

from __future__ import annotations

import json
import math
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
    last of `epochs` epochs; NaN where they are not finite. With several seeds or folds they are
    what judges them together, and `deviations` are their standard deviations; it is empty with one.
    With folds, those of `test` are of the mean prediction, or of the one model of `refit`.
    `seconds` is how long the training took.
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
        try:
            return cls(
                Path(folder),
                _a(str, document["name"]),
                _splits(document["metrics"]),
                _splits(document.get("deviations", {})),
                _a(int, document["epochs"]),
                _number(document["seconds"]),
            )
        except (KeyError, TypeError) as error:
            raise _unreadable(Path(folder)) from error

    def curve(self) -> DataFrame:
        """The validation metrics of each epoch as a pandas DataFrame, indexed by epoch.

        Raises:
            HpoError: if the folder's files have changed since, and hold no curve.
        """
        import pandas as pd

        try:
            rows = [_numbers(row) for row in _a(list, _document(self.folder)["curve"])]
            return pd.DataFrame(rows).astype({"epoch": "int64"}).set_index("epoch")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _unreadable(self.folder) from error


def _document(folder: Path) -> dict[str, Any]:
    try:
        text = (folder / METRICS_FILE).read_text(encoding="utf-8")
        document: dict[str, Any] = _a(dict, json.loads(text))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise _unreadable(folder) from error
    return document


def _unreadable(folder: Path) -> HpoError:
    return HpoError(f"{folder / METRICS_FILE}: cannot be read: give a folder that hpo train wrote.")


def _splits(found: Any) -> SplitMetrics:
    return {split: None if row is None else _numbers(row) for split, row in _a(dict, found).items()}


def _numbers(row: Any) -> dict[str, float]:
    # JSON has no NaN: null stands for it.
    return {
        name: math.nan if value is None else _number(value) for name, value in _a(dict, row).items()
    }


def _number(value: Any) -> float:
    number: float = _a((int, float), value)
    return number


def _a(kind: Any, value: Any) -> Any:
    """The value of a file, if it is of that kind.

    Raises:
        TypeError: if it is not.
    """
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r:.80} is no {kind}")
    return value
