"""The columns of a table by their types: numbers, categories, booleans, dates and texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpo.data.mapped import empty, is_large
from hpo.data.readers.tables.dates import parts_of, read_dates
from hpo.data.readers.tables.idle import Cells, idle_notes
from hpo.data.readers.tables.lines import Rows
from hpo.data.readers.tables.table import (
    ISO_DATE,
    MOST_FLOAT32,
    NUMERIC_SHARE,
    TRUTH,
    dates_note,
    few_sentences_note,
    huge_number,
    many_texts,
    no_boolean,
    no_date,
    number_text,
    sentences_note,
    stray_text,
)
from hpo.data.text.sentences import are_sentences
from hpo.data.transforms.features import NumberColumn, Part
from hpo.errors import DataError
from hpo.spec.sections.columns import MOST_CATEGORIES, Columns

if TYPE_CHECKING:
    import pandas as pd

# Columns of text are encoded one by one, and more of them take minutes.
_MOST_TEXT_COLUMNS = 5000
# Answers to choose from may be sentences too, and are fewer.
_MANY_SENTENCES = 50


class TypedColumns(NamedTuple):
    """What `Source` holds of the columns of a table, and what the user should know.

    `names` and `text_names` are those of the columns in the file: a date has one for each part,
    and `parts` says which.
    """

    x: np.ndarray
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    categories: np.ndarray | None
    text_names: tuple[str, ...]
    values: tuple[list[str], ...]
    notes: list[str]


def typed_columns(
    path: Path, features: pd.DataFrame, rows: Rows, columns: Columns, *, are_typed: frozenset[str]
) -> TypedColumns:
    """The columns of a table as numbers and as indices of texts.

    Of those that `are_typed` by their file, a text among numbers is no mistake.

    Raises:
        DataError: for a cell that is not of its column's type, with its line.
    """
    features, dates, notes = _of_their_types(path, features, rows, columns)
    numeric, words = _kinds(features)
    if len(words) > _MOST_TEXT_COLUMNS:
        raise DataError(
            f"{path}: holds {len(words):,} columns of text, more than {_MOST_TEXT_COLUMNS:,}: "
            "write numbers for their texts, or list columns in data.dataset.drop."
        )
    untyped = [n for n in words if columns.of(n).type == "auto" and n not in are_typed]
    if untyped:
        _check_stray_texts(features[untyped], rows)
    # Selecting columns one by one takes seconds where there are tens of thousands.
    x = _numbers(features[numeric] if words else features, rows)
    booleans = _named_booleans(features, columns)
    origins = [
        dates.get(name) or NumberColumn(name, "boolean" if name in booleans else "number")
        for name in numeric
    ]
    names, parts = tuple(one.name for one in origins), tuple(one.part for one in origins)
    cells: dict[str, Cells] = dict.fromkeys(map(str, names), "numbers")
    if not words:
        return TypedColumns(
            x, names, parts, None, (), (), [*notes, *idle_notes(path.name, columns, cells)]
        )
    categories, values, category_notes = _categories(path, features[words], columns)
    for name, texts in zip(words, values, strict=True):
        are_texts = columns.of(name).may_be_sentences and len(texts) > MOST_CATEGORIES
        cells[str(name)] = "texts" if are_texts else "categories"
    notes += [*category_notes, *idle_notes(path.name, columns, cells)]
    return TypedColumns(x, names, parts, categories, tuple(words), values, notes)


def _of_their_types(
    path: Path, features: pd.DataFrame, rows: Rows, columns: Columns
) -> tuple[pd.DataFrame, dict[str, NumberColumn], list[str]]:
    """The columns with booleans and dates as numbers, and numbers that are codes as texts.

    With them come the columns in the file that parts of dates are of, and notes.
    """
    import pandas as pd

    origins: dict[str, NumberColumn] = {}
    notes: list[str] = []
    new: dict[str, Any] = {}
    gone = []
    for name in _candidates(features, columns):
        column, kind = features[name], columns.of(name).type
        if kind == "boolean":
            new[name] = read_booleans(column, rows)
        elif kind in ("category", "text"):
            new[name] = as_texts(column)
        elif kind == "date" or _are_dates(column) or _holds_dates(column):
            if kind == "auto" and not _are_dates(column):
                notes.append(dates_note(path.name, name))
            gone.append(name)
            for part, numbers in parts_of(read_column_dates(column, rows)).items():
                title = f"{name}.{part}"
                while title in features or title in new:
                    title += "_"
                origins[title], new[title] = NumberColumn(name, part), numbers
    if not new:
        return features, origins, notes
    replaced = features.drop(columns=gone)
    for name in new.keys() & {*features}:
        replaced[name] = new[name]
    added = {name: column for name, column in new.items() if name not in features}
    return pd.concat([replaced, pd.DataFrame(added)], axis=1), origins, notes


def _named_booleans(features: pd.DataFrame, columns: Columns) -> set[str]:
    """The columns of numbers whose cells are booleans."""
    found = {name for name, one in columns.by_name.items() if one.type == "boolean"}
    kinds = zip(features.columns, features.dtypes, strict=True)
    return found | {name for name, kind in kinds if kind.kind == "b"}


def _candidates(features: pd.DataFrame, columns: Columns) -> list[str]:
    """The columns with a type of their own, and those of texts that may hold dates."""
    import pandas as pd

    typed = {name for name, one in columns.by_name.items() if one.type != "auto"}
    return [
        name
        for name, dtype in zip(features.columns, features.dtypes, strict=True)
        if name in typed
        or dtype.kind == "M"
        or (not pd.api.types.is_numeric_dtype(dtype) and columns.of(name).is_one_hot)
    ]


def _are_dates(column: pd.Series[Any]) -> bool:
    """Whether the file says that the cells are dates."""
    return bool(column.dtype.kind == "M")


def _holds_dates(column: pd.Series[Any]) -> bool:
    """Whether a column has too many texts for categories, all of them dates."""
    texts = column.dropna()
    if not len(texts) or not ISO_DATE.fullmatch(str(texts.iloc[0])):
        return False
    return texts.nunique() > MOST_CATEGORIES and bool(read_dates(texts)[1].all())


def read_column_dates(column: pd.Series[Any], rows: Rows) -> np.ndarray:
    if _are_dates(column):
        found: np.ndarray = column.to_numpy("datetime64[us]")
        return found
    dates = np.full(len(column), np.datetime64("NaT", "us"))
    filled = np.flatnonzero(column.notna())
    if len(filled):
        dates[filled], is_read = read_dates(as_texts(column.iloc[filled]))
        if not is_read.all():
            row = filled[np.flatnonzero(~is_read)[0]]
            text = no_date(str(column.name), str(column.iloc[row]))
            raise DataError(f"{rows[row]}: {text}")
    return dates


def read_booleans(column: pd.Series[Any], rows: Rows) -> np.ndarray:
    """1 for true and yes, 0 for false and no, NaN for an empty cell."""
    found = np.full(len(column), np.nan)
    if column.isna().all():
        return found
    texts = as_texts(column).dropna()
    truth = texts.str.strip().str.casefold().str.removesuffix(".0").map(TRUTH)
    wrong = np.flatnonzero(truth.isna())
    if len(wrong):
        row = texts.index[wrong[0]]
        raise DataError(f"{rows[row]}: {no_boolean(str(column.name), texts[row])}")
    found[texts.index] = truth
    return found


def as_texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """The cells as texts: 3 for 3.0, and empty ones as they are."""
    if column.dtype == "category":
        return column  # of texts
    if column.dtype.kind not in "iuf":
        return column.where(column.isna(), column.astype(str))
    different = column.dropna().unique()
    return column.astype(object).map({one: number_text(one) for one in different.tolist()})


def _kinds(features: pd.DataFrame) -> tuple[list[str], list[str]]:
    """The columns of numbers and those of text."""
    import pandas as pd

    is_number = [pd.api.types.is_numeric_dtype(kind) for kind in features.dtypes]
    columns = list(zip(features.columns, is_number, strict=True))
    return [name for name, yes in columns if yes], [name for name, yes in columns if not yes]


def _check_stray_texts(columns: pd.DataFrame, rows: Rows) -> None:
    import pandas as pd

    for name in columns:
        codes, different = columns[name].factorize()
        texts = pd.Series([*different]).astype(str)
        is_number = pd.to_numeric(texts, errors="coerce").notna().to_numpy()
        cells = np.bincount(codes[codes >= 0], minlength=len(texts))
        if not is_number.all() and cells[is_number].sum() / cells.sum() >= NUMERIC_SHARE:
            row = int(np.flatnonzero((codes >= 0) & ~is_number[codes])[0])
            raise DataError(f"{rows[row]}: {stray_text(name, texts[codes[row]])}")


def _numbers(columns: pd.DataFrame, rows: Rows) -> np.ndarray:
    x: np.ndarray
    if is_large(8 * columns.shape[0] * columns.shape[1]):
        x = empty((columns.shape[1], len(columns)), np.float64).T  # in the order that pandas gives
        for place, name in enumerate(columns):
            x[:, place] = columns[name].to_numpy()
    else:
        x = columns.to_numpy(np.float64)
    if any_too_large(x):
        row, column = np.argwhere(is_too_large(x))[0]
        raise DataError(f"{rows[row]}: {huge_number(str(columns.columns[column]))}")
    return x


def any_too_large(x: np.ndarray) -> bool:
    """Whether float32 cannot hold some of the numbers; takes no memory."""
    if not x.size:
        return False
    extremes = np.array([np.fmax.reduce(x, axis=None), np.fmin.reduce(x, axis=None)])
    return bool(is_too_large(extremes).any())


def is_too_large(x: np.ndarray) -> np.ndarray:
    """Where float32 cannot hold a number."""
    return np.asarray(np.abs(x) > MOST_FLOAT32)


def _categories(
    path: Path, table: pd.DataFrame, columns: Columns
) -> tuple[np.ndarray, tuple[list[str], ...], list[str]]:
    """The index of each text, -1 for empty cells, the sorted texts of each column, and notes."""
    codes, values, notes = np.empty(table.shape, np.int32), [], []
    for position, name in enumerate(table):
        # A column of True, False and empty cells is not text yet.
        codes[:, position], found = as_texts(table[name]).factorize(sort=True)
        texts, treatment = found.tolist(), columns.of(str(name))
        values.append(texts)
        is_many = len(texts) > MOST_CATEGORIES
        if treatment.may_be_sentences and is_many and are_sentences(texts):
            notes.append(sentences_note(path.name, str(name)))
        elif is_many and treatment.is_one_hot:
            raise DataError(f"{path}: {many_texts(str(name), len(texts), texts[0])}")
        elif treatment.may_be_sentences and len(texts) > _MANY_SENTENCES and are_sentences(texts):
            notes.append(few_sentences_note(path.name, str(name), len(texts)))
    return codes, tuple(values), notes
