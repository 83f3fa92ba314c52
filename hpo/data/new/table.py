"""The rows of a new table as examples like those that a model was trained on.

Each column is read as the training's was: what its cells are does not depend on the other rows.
Dates alone do: other rows show which of two numbers is the day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.readers.tables.columns import (
    any_too_large,
    as_texts,
    is_too_large,
    read_booleans,
    read_column_dates,
)
from hpo.data.readers.tables.dates import parts_of
from hpo.data.readers.tables.examples import Table, read_weights
from hpo.data.readers.tables.lines import Rows
from hpo.data.readers.tables.table import huge_number, is_number, number_text
from hpo.data.source import Source
from hpo.data.transforms.features import Features, NumberColumn, Part, check_columns
from hpo.data.transforms.transform import FittedTransform
from hpo.errors import DataError
from hpo.spec.sections.data import Task
from hpo.spec.words import count_text, shown

if TYPE_CHECKING:
    import pandas as pd


def new_examples(table: Table, features: Features) -> Source:
    """The examples in the rows of a table, without targets.

    A category that the training data do not have gets an index after theirs.

    Raises:
        DataError: for a column that is missing, or a cell that is not of its column's type.
    """
    frame = table.frame
    check_columns(features, [*map(str, frame.columns)], str(table.path))
    if not len(frame):
        raise DataError(f"{table.path}: has no row: give a file with one row an example.")
    x = _numbers(frame, features.numbers, table.rows)
    codes = np.empty((len(frame), len(features.texts)), np.int32)
    values = []
    for place, column in enumerate(features.texts):
        codes[:, place], texts = _coded(frame[column.name], column.values or ())
        values.append(texts)
    return Source(
        x=x,
        y=np.zeros(len(frame), np.float64),
        target=str(table.path),
        names=tuple(one.name for one in features.numbers),
        text_names=tuple(one.name for one in features.texts),
        categories=codes if features.texts else None,
        values=tuple(values),
    )


def unknown_categories(source: Source, features: Features, transform: FittedTransform) -> list[str]:
    """Which columns have categories that no training row has: sentences without an end."""
    found = []
    for place, column in enumerate(features.texts):
        known = transform.known_categories(place)
        if source.categories is None or known is None or column.values is None:
            continue
        codes = source.categories[:, place]
        is_new = (codes >= 0) & ~np.isin(codes, known)
        if is_new.any():
            example = source.values[place][codes[is_new][0]]
            rows = count_text(int(is_new.sum()), "row")
            found.append(
                f"{source.target}: column {shown(column.name)}: {rows} with a category that no "
                f"training row has, such as {shown(example)}"
            )
    return found


def training_ranges(
    features: Features, transforms: Sequence[FittedTransform]
) -> list[tuple[float, float] | None]:
    """The lowest and highest number that training rows have in each column of numbers.

    None for booleans, for dates, for columns with one number or none, and where a fit does not say
    it.
    """
    low, high = np.full((2, len(features.numbers)), np.nan)
    for fit in transforms:
        if fit.kept is None or "kept_range" not in fit.more:
            return [None] * len(low)
        ends = fit.more["kept_range"]
        low[fit.kept] = np.fmin(low[fit.kept], ends[0])
        high[fit.kept] = np.fmax(high[fit.kept], ends[1])
    are_told = [one.part == "number" for one in features.numbers] & (low < high)
    return [
        (float(low[place]), float(high[place])) if is_told else None
        for place, is_told in enumerate(are_told)
    ]


def range_notes(
    source: Source, features: Features, transforms: Sequence[FittedTransform]
) -> list[str]:
    """A sentence for each column with numbers far outside of those that training rows have.

    They lie beyond the range by more than its width.
    """
    found = []
    ranges = training_ranges(features, transforms)
    for column, ends, x in zip(features.numbers, ranges, source.x.T, strict=True):
        if ends is None:
            continue
        low, high = ends
        for side, is_far in (("below", x < 2 * low - high), ("above", x > 2 * high - low)):
            if count := int(is_far.sum()):
                rows = count_text(count, "row") + (" lies" if count == 1 else " lie")
                found.append(
                    f"{source.target}: column {shown(column.name)}: {rows} far {side} the range of "
                    f"the training, {low:g} to {high:g}: check the unit of such numbers."
                )
    return found


def with_targets(
    source: Source, table: Table, features: Features, classes: tuple[str, ...], task: Task
) -> Source:
    """The examples with the targets and weights of a table, of the classes and task of training.

    Raises:
        DataError: for a column that is missing, an empty cell, or a class that no row trained.
    """
    frame, path = table.frame, table.path
    for name in (*features.targets, *filter(None, [features.weight])):
        if name not in frame:
            raise DataError(
                f"{path}: has no column {shown(name)}, which has the target or the weight of each "
                "row: add it."
            )
    columns = [_filled(frame[name], table.rows) for name in features.targets]
    if classes:
        y = _classes(columns[0], classes, table.rows)
    else:
        y = np.stack([_quantities(column, table.rows) for column in columns], axis=1)
        if task == "multilabel":
            _check_labels(y, columns, table.rows)
            y = y.astype(np.float32)
        y = y[:, 0] if len(columns) == 1 else y
    weight = features.weight
    return replace(
        source,
        y=y,
        classes=classes,
        weight=None if weight is None else read_weights(path, frame[weight], table.rows),
        is_multilabel=task == "multilabel",
        is_count=task == "counts",
    )


def _numbers(frame: pd.DataFrame, columns: Sequence[NumberColumn], rows: Rows) -> np.ndarray:
    x = np.empty((len(columns), len(frame)), np.float64).T  # column after column, as pandas has it
    dates: dict[str, Mapping[Part, np.ndarray]] = {}
    for place, (name, part) in enumerate(columns):
        if part == "number":
            x[:, place] = _quantities(frame[name], rows)
        elif part == "boolean":
            x[:, place] = read_booleans(frame[name], rows)
        else:
            if name not in dates:
                dates[name] = parts_of(read_column_dates(frame[name], rows))
            # Dates without a time of day are those of midnight.
            empty = np.where(np.isnan(dates[name]["days"]), np.nan, 0.0)
            x[:, place] = dates[name].get(part, empty)
    if any_too_large(x):
        row, column = np.argwhere(is_too_large(x))[0]
        raise DataError(f"{rows[row]}: {huge_number(columns[column].name)}")
    return x


def _quantities(column: pd.Series[Any], rows: Rows) -> np.ndarray:
    """The numbers of a column, NaN in empty cells.

    Raises:
        DataError: for a text among them.
    """
    import pandas as pd

    types = pd.api.types
    if types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
        found: np.ndarray = column.to_numpy(np.float64)
        return found
    texts = as_texts(column).astype(object)
    is_filled = column.notna().to_numpy()
    numbers = np.full(len(column), np.nan)
    for row in np.flatnonzero(is_filled).tolist():
        text = str(texts.iloc[row])
        if not is_number(text):
            raise DataError(
                f"{rows[row]}: column {shown(column.name)} holds {shown(text)}, and the model was "
                "trained with numbers there: correct it, or leave the cell empty."
            )
        numbers[row] = float(text)
    return numbers


def _coded(column: pd.Series[Any], known: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """The index of each text, -1 in an empty cell, and the texts: the known ones first."""
    codes, different = as_texts(column).factorize()
    places = {text: place for place, text in enumerate(known)}
    texts = [*known]
    own = []
    for text in map(str, different):
        place = places.get(text, places.get(_plain(text)))
        if place is None:
            place = places[text] = len(texts)
            texts.append(text)
        own.append(place)
    return np.array([*own, -1], np.int32)[codes], texts


def _plain(text: str) -> str:
    """A number as the categories of a column of numbers have it: 3 for 3.0."""
    return number_text(float(text)) if is_number(text) and "n" not in text.lower() else text


def _filled(column: pd.Series[Any], rows: Rows) -> pd.Series[Any]:
    empty = np.flatnonzero(column.isna())
    if len(empty):
        raise DataError(
            f"{rows[empty[0]]}: has no target in column {shown(column.name)}: fill it in, or "
            "remove the row."
        )
    return column


def _classes(column: pd.Series[Any], classes: Sequence[str], rows: Rows) -> np.ndarray:
    """The number of each row's class."""
    codes, texts = _coded(column, classes)
    numbers = {}
    for place, text in enumerate(texts[len(classes) :], start=len(classes)):
        same = [k for k, one in enumerate(classes) if _is_equal(one, text)]
        if not same:
            row = int(np.flatnonzero(codes == place)[0])
            raise DataError(
                f"{rows[row]}: column {shown(column.name)} holds {shown(text)}, a class that the "
                "training data do not have: remove the row, or correct it."
            )
        numbers[place] = same[0]
    for place, number in numbers.items():
        codes[codes == place] = number
    return codes


def _is_equal(one: str, other: str) -> bool:
    return is_number(one) and is_number(other) and float(one) == float(other)


def _check_labels(y: np.ndarray, columns: Sequence[pd.Series[Any]], rows: Rows) -> None:
    wrong = np.argwhere((y != 0) & (y != 1))
    if len(wrong):
        row, place = wrong[0]
        raise DataError(
            f"{rows[row]}: column {shown(columns[place].name)} holds {y[row, place]:g}, and labels "
            "are 0 or 1: correct it."
        )
