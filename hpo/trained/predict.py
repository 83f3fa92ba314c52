"""Answers for new data: `hpo predict`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.new.arrays import FILE, TARGET, new_arrays, with_masks
from hpo.data.new.reading import new_table
from hpo.data.new.table import new_examples, range_notes, unknown_notes, with_targets
from hpo.data.readers.tables.examples import Table
from hpo.data.readers.tables.lines import FileRows, Rows
from hpo.data.source import Source
from hpo.errors import HpoError
from hpo.spec.sections.data import TableFile, Task
from hpo.spec.sections.split import TimeSplit
from hpo.spec.words import shown
from hpo.trained.answers import answer_columns
from hpo.trained.ensembles.ensemble import Answering
from hpo.trained.kinds.series import forecast_names, new_series
from hpo.trained.model import BATCH, LEAST_BATCH
from hpo.trained.writing import Columns

if TYPE_CHECKING:
    import pandas as pd

FRAME = "the DataFrame"  # the name of a file of rows that are in memory
# Rows whose features are in memory at once.
_ROWS_AT_ONCE = 1 << 14


# Numbers that a model with masks answers at once.
_NUMBERS_AT_ONCE = 1 << 23


@dataclass(frozen=True, eq=False)
class NewData:
    """Examples to answer, what the user should know of them, and the columns beside the answers.

    `unknown` are those of the notes that tell of new categories. The first `before` rows of a
    series have no answer: they are the past of the next one.
    """

    source: Source
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)
    before: int = 0

    @property
    def rows(self) -> int:
        """The number of answers."""
        return len(self.source) - self.before


def read_new(model: Answering, data: Path | pd.DataFrame, *, with_target: bool = False) -> NewData:
    """The examples in a file or a DataFrame, as the model takes them.

    Raises:
        HpoError: for data that are unfit, and for a model whose answers are not for rows.
    """
    told = model.description
    features = told.features
    if told.task == "language":
        raise HpoError(
            f"{model.folder}: learns what comes next in a text: give a text with --score, or a "
            "prompt, and no table."
        )
    beside: dict[str, np.ndarray] = {}
    if model.series is not None:
        return _series(model, data, model.series)
    if features.is_table:
        table = _table(model, data)
        source = new_examples(table, features)
    elif isinstance(data, Path):
        is_resized = getattr(model.training.data.dataset, "size", None) is not None
        source, table = new_arrays(data, features, is_resized=is_resized)
        features = replace(features, targets=(TARGET,))
    else:
        raise HpoError(
            f"{model.folder}: was trained on arrays of the shape {list(features.shape)}, not on "
            "columns: give a .npz file, or a folder of images."
        )
    notes, unknown = _notes(model, source)
    if with_target and told.task == "segmentation":
        source = with_masks(source, told.classes)
    elif with_target:
        if not features.targets:
            raise HpoError(
                f"{model.folder}: the target of its training data has no name: leave out --score."
            )
        source = with_targets(source, table, features, told.classes, told.task)
    if not features.is_table and FILE in table.frame:
        beside[FILE] = table.frame[FILE].to_numpy()
    return NewData(source, notes, unknown, beside)


def _notes(model: Answering, source: Source) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the user should know of the rows of a table, and what of this is of new categories."""
    features, fits = model.description.features, [one.data.transform for one in model.members]
    unknown = dict.fromkeys(note for fit in fits for note in unknown_notes(source, features, fit))
    far = range_notes(source, features, fits) if features.is_table else []
    return (*unknown, *far), (*unknown,)


def _series(model: Answering, data: Path | pd.DataFrame, series: TableFile) -> NewData:
    """The rows of a series; beside a forecast stands the time after which it begins."""
    table, spec = _table(model, data), model.training.data
    source, times = new_series(table, spec, model.description.features)
    assert isinstance(spec.split, TimeSplit)
    assert series.window is not None
    before = series.window - 1
    notes, unknown = _notes(model, source)
    return NewData(source, notes, unknown, {spec.split.time: times[before:]}, before)


def other_answers(task: Task, dataset: Any) -> str | None:
    """What a model does whose answers are not one for each row of new data; None for others."""
    if getattr(dataset, "window", None) is not None:
        return "forecasts a series"
    kinds: Mapping[str, str] = {
        "language": "learns what comes next in a text",
        "segmentation": "answers for each pixel of an image",
    }
    return kinds.get(task)


def _table(model: Answering, data: Path | pd.DataFrame) -> Table:
    if isinstance(data, Path):
        texts = [column.name for column in model.description.features.texts]
        return new_table(data, model.training.data, texts)
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise HpoError(
            f"{model.folder}: answers for a file or a DataFrame, not for {type(data).__name__}: "
            "give one of these."
        )
    rows, where = data.reset_index(drop=True).rename(columns=str), Path(FRAME)
    names = rows.columns
    if names.has_duplicates:
        twice = names[names.duplicated()][0]
        count = int((names == twice).sum())
        raise HpoError(
            f"{FRAME}: {count} columns are named {shown(str(twice))}: rename all but one."
        )
    return Table(where, rows, Rows([FileRows(where, len(rows))]))


def answers(
    model: Answering,
    data: NewData,
    batch: int = BATCH,
    watch: Callable[[int], None] = lambda _: None,
    *,
    is_raw: bool = False,
) -> Iterator[Columns]:
    """The answers in the order of the rows, piece by piece; `watch` gets the rows done so far.

    Chances have the model's temperature unless they are asked for raw, as the network gives them.
    """
    temperature = 1.0 if is_raw else model.temperature
    told, at_once = model.description, _ROWS_AT_ONCE
    if model.series is not None:
        names = forecast_names(model.series)
        told = replace(told, features=replace(told.features, targets=names))
    if told.task == "segmentation":
        at_once = max(LEAST_BATCH, _NUMBERS_AT_ONCE // (math.prod(told.shape[:2]) * told.outputs))
        batch = min(batch, at_once)
    for start in range(0, data.rows, at_once):
        part = data.source.take(slice(start, start + at_once + data.before))
        predictions = model.predictions(part, batch)
        found = answer_columns(predictions, told, model.thresholds, temperature)
        beside = {name: one[start : start + at_once] for name, one in data.beside.items()}
        yield {**beside, **found}
        watch(min(start + at_once, data.rows))
