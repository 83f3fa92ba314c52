"""Answers for new data: `hpo predict`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.new.arrays import FILE, TARGET, new_arrays, with_masks
from hpo.data.new.reading import new_table
from hpo.data.new.table import new_examples, range_notes, unknown_categories, with_targets
from hpo.data.readers.tables.examples import Table
from hpo.data.readers.tables.lines import FileRows, Rows
from hpo.data.source import Source
from hpo.engine.devices import available_bytes
from hpo.errors import DeviceError, HpoError
from hpo.spec.sections.data import POSITION_AXES, TableFile, Task
from hpo.spec.sections.split import TimeSplit
from hpo.spec.words import shown
from hpo.trained.answers import answer_columns
from hpo.trained.blocks import told_where_exhausted
from hpo.trained.ensembles.ensemble import Answering, block_rows
from hpo.trained.kinds.series import forecast_names, new_series
from hpo.trained.writing import Columns

if TYPE_CHECKING:
    import pandas as pd

FRAME = "the DataFrame"  # the name of a file of rows that are in memory
# Rows whose features are in memory at once: no more, nor those that take more bytes than a share of
# the memory at hand.
_MOST_ROWS, _MOST_BYTES, _SHARE = 1 << 14, 1 << 28, 8
# Features are made by way of a copy or two, and outputs of 32 bits become answers of 64.
_COPIES, _BYTES_OF_AN_ANSWER = 3, 28


@dataclass(frozen=True, eq=False)
class NewData:
    """Examples to answer, what the user should know of them, and the columns beside the answers.

    `unknown` says for each column which categories are new, as the notes do. The first `before`
    rows of a series have no answer: they are the past of the next one.
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
        DeviceError: where the memory is too small for the rows.
    """
    where = data if isinstance(data, Path) else FRAME
    with told_where_exhausted(where, "its rows were read"):
        return _read(model, data, with_target=with_target)


def _read(model: Answering, data: Path | pd.DataFrame, *, with_target: bool) -> NewData:
    description = model.description
    features = description.features
    if description.task == "language":
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
    if with_target and description.task == "segmentation":
        source = with_masks(source, description.classes)
    elif with_target:
        if not features.targets:
            raise HpoError(
                f"{model.folder}: the target of its training data has no name: leave out --score."
            )
        source = with_targets(source, table, features, description.classes, description.task)
    if not features.is_table and FILE in table.frame:
        beside[FILE] = table.frame[FILE].to_numpy()
    return NewData(source, notes, unknown, beside)


def _notes(model: Answering, source: Source) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the user should know of the rows of a table, and which categories are new."""
    features, fits = model.description.features, [one.data.transform for one in model.members]
    each = (unknown_categories(source, features, fit) for fit in fits)
    unknown = dict.fromkeys(chain.from_iterable(each))
    far = range_notes(source, features, fits) if features.is_table else []
    return (*(f"{one}: predicted without it." for one in unknown), *far), (*unknown,)


def _series(model: Answering, data: Path | pd.DataFrame, series: TableFile) -> NewData:
    """The rows of a series; beside a forecast stands the time after which it begins."""
    table, spec = _table(model, data), model.training.data
    source, times = new_series(table, spec, model.description.features)
    assert isinstance(spec.split, TimeSplit)
    assert series.window is not None
    before = series.window - 1
    notes, unknown = _notes(model, source)
    beside = {spec.split.time: times[before:]}
    return NewData(source, (*source.notes, *notes), unknown, beside, before)


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
    batch: int | None = None,
    watch: Callable[[int], None] = lambda _: None,
    *,
    is_raw: bool = False,
) -> Iterator[Columns]:
    """The answers in the order of the rows, piece by piece; `watch` gets the rows done so far.

    `batch` is the number of rows that are in memory at once, by default as many as fit. No answer
    depends on it. Chances have the model's temperature unless they are asked for raw, as the
    network gives them.

    Raises:
        DeviceError: where the memory is too small for a single row.
    """
    temperature, description = 1.0 if is_raw else model.temperature, model.description
    if model.series is not None:
        names = forecast_names(model.series)
        description = replace(description, features=replace(description.features, targets=names))
    for rows, predictions in prediction_pieces(model, data.source, data.before, batch):
        found = answer_columns(predictions, description, model.thresholds, temperature)
        beside = {name: one[rows] for name, one in data.beside.items()}
        yield {**beside, **found}
        watch(rows.stop)


def predictions_of(model: Answering, source: Source) -> np.ndarray:
    """The predictions for examples that are no series, of which only some are in memory at once."""
    return np.concatenate([found for _, found in prediction_pieces(model, source)])


def prediction_pieces(
    model: Answering, source: Source, before: int = 0, batch: int | None = None
) -> Iterator[tuple[slice, np.ndarray]]:
    """The predictions for some rows after the other; fewer at once where memory runs out."""
    start, count, block = 0, len(source) - before, block_rows(model)
    # A block has the same rows in it for every batch.
    wanted = rows_at_once(model, available_bytes()) if batch is None else batch
    at_once = math.ceil(wanted / block) * block
    while start < count:
        rows = slice(start, min(start + at_once, count))
        found = None
        with suppress(MemoryError):
            found = model.predictions(source.take(slice(rows.start, rows.stop + before)))
        if found is not None:
            yield rows, found
            start = rows.stop
        elif rows.stop - start == 1:
            raise DeviceError(
                f"{model.folder}: the memory ran out with the features of a single row: stop "
                "other programs, or raise the limit of memory."
            )
        else:
            half = (rows.stop - start) // 2
            at_once = half // block * block or half


def rows_at_once(model: Answering, available: int | None) -> int:
    """The rows whose features and answers are in memory at once, by the bytes of one of them.

    `available` are the bytes that this process may still take; None where that is unknown.
    """
    description = model.description
    positions = POSITION_AXES.get(description.task, 0)  # axes of the answers
    features = math.prod(description.shape) * np.dtype(description.type).itemsize
    answers = math.prod(description.shape[:positions]) * description.outputs * _BYTES_OF_AN_ANSWER
    size = _COPIES * features * len(model.members) + answers
    room = _MOST_BYTES if available is None else min(_MOST_BYTES, available // _SHARE)
    return max(1, min(_MOST_ROWS, room // max(1, size)))
