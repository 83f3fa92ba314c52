"""Answers for new data: `hpo predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpo.data.new.reading import new_table
from hpo.data.new.table import new_examples, unknown_notes, with_targets
from hpo.data.readers.tables.examples import Table
from hpo.data.readers.tables.lines import FileRows, Rows
from hpo.data.source import Source
from hpo.errors import HpoError
from hpo.spec.words import shown
from hpo.trained.answers import answer_columns
from hpo.trained.model import BATCH, Model
from hpo.trained.writing import Columns

if TYPE_CHECKING:
    import pandas as pd

# Rows whose features are in memory at once.
_ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, eq=False)
class NewData:
    """Examples to answer, what the user should know of them, and with targets if asked."""

    source: Source
    notes: tuple[str, ...] = field(default=())


def read_new(model: Model, data: Path | pd.DataFrame, *, with_target: bool = False) -> NewData:
    """The examples in a file or a DataFrame, as the model takes them.

    Raises:
        HpoError: for a file that is unfit, and for a model of other data than tables.
    """
    features = model.description.features
    if model.description.task in ("language", "segmentation") or not features.is_table:
        raise HpoError(
            f"{model.folder}: hpo predict answers for tables of named columns, and this model was "
            f"trained on {_kind(model)}."
        )
    if getattr(model.training.data.dataset, "window", None) is not None:
        raise HpoError(
            f"{model.folder}: hpo predict answers for rows of a table, and this model forecasts a "
            "series."
        )
    if isinstance(data, Path):
        texts = [column.name for column in features.texts]
        table = new_table(data, model.training.data, texts)
    else:
        rows, where = data.reset_index(drop=True).rename(columns=str), Path("the DataFrame")
        table = Table(where, rows, Rows([FileRows(where, len(rows))]))
    source = new_examples(table, features)
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
        source = with_targets(
            source, table, features, model.description.classes, model.description.task
        )
    return NewData(source, tuple(notes))


def answers(
    model: Model, data: NewData, batch: int = BATCH, watch: Callable[[int], None] = lambda _: None
) -> Iterator[Columns]:
    """The answers in the order of the rows, piece by piece; `watch` gets the rows done so far."""
    thresholds = [one.thresholds for one in model.members if one.thresholds is not None]
    together = np.mean(thresholds, axis=0) if thresholds else None
    rows = len(data.source)
    for start in range(0, rows, _ROWS_AT_ONCE):
        part = data.source.take(slice(start, start + _ROWS_AT_ONCE))
        yield answer_columns(model.predictions(part, batch), model.description, together)
        watch(min(start + _ROWS_AT_ONCE, rows))


def _kind(model: Model) -> str:
    task = model.description.task
    if task == "language":
        return "running text"
    return f"arrays of the shape {shown(list(model.description.shape))}"
