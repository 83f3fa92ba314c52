"""Answers for new data: `hpo predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.new.arrays import FILE, TARGET, new_arrays
from hpo.data.new.reading import new_table
from hpo.data.new.table import new_examples, unknown_notes, with_targets
from hpo.data.readers.tables.examples import Table
from hpo.data.readers.tables.lines import FileRows, Rows
from hpo.data.source import Source
from hpo.errors import HpoError
from hpo.spec.sections.data import Task
from hpo.trained.answers import answer_columns
from hpo.trained.ensembles.ensemble import Answering
from hpo.trained.model import BATCH
from hpo.trained.writing import Columns

if TYPE_CHECKING:
    import pandas as pd

# Rows whose features are in memory at once.
_ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, eq=False)
class NewData:
    """Examples to answer, what the user should know of them, and the files that they are from."""

    source: Source
    notes: tuple[str, ...] = ()
    files: np.ndarray | None = None


def read_new(model: Answering, data: Path | pd.DataFrame, *, with_target: bool = False) -> NewData:
    """The examples in a file or a DataFrame, as the model takes them.

    Raises:
        HpoError: for data that are unfit, and for a model whose answers are not for rows.
    """
    told = model.description
    features = told.features
    _check_kind(model)
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
    notes = dict.fromkeys(
        note
        for member in model.members
        for note in unknown_notes(source, features, member.data.transform)
    )
    if with_target:
        if not features.targets:
            raise HpoError(
                f"{model.folder}: the target of its training data has no name: leave out --score."
            )
        source = with_targets(source, table, features, told.classes, told.task)
    has_files = not features.is_table and FILE in table.frame
    files = table.frame[FILE].to_numpy() if has_files else None
    return NewData(source, tuple(notes), files)


def other_answers(task: Task, dataset: Any) -> str | None:
    """What a model does whose answers are not one for each row of new data; None for others."""
    if getattr(dataset, "window", None) is not None:
        return "forecasts a series"
    kinds: Mapping[str, str] = {
        "language": "learns what comes next in a text",
        "segmentation": "answers for each pixel of an image",
    }
    return kinds.get(task)


def _check_kind(model: Answering) -> None:
    """Refuse a model whose answers are not one for each row.

    Raises:
        HpoError: which says what it answers.
    """
    kind = other_answers(model.description.task, model.training.data.dataset)
    if kind is not None:
        raise HpoError(
            f"{model.folder}: {kind}, and hpo predict gives one answer for each row: load its "
            "weights with Orbax."
        )


def _table(model: Answering, data: Path | pd.DataFrame) -> Table:
    if isinstance(data, Path):
        texts = [column.name for column in model.description.features.texts]
        return new_table(data, model.training.data, texts)
    rows, where = data.reset_index(drop=True).rename(columns=str), Path("the DataFrame")
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
    rows = len(data.source)
    for start in range(0, rows, _ROWS_AT_ONCE):
        part = data.source.take(slice(start, start + _ROWS_AT_ONCE))
        predictions = model.predictions(part, batch)
        found = answer_columns(predictions, model.description, model.thresholds, temperature)
        if data.files is not None:
            found = {FILE: data.files[start : start + _ROWS_AT_ONCE], **found}
        yield found
        watch(min(start + _ROWS_AT_ONCE, rows))
