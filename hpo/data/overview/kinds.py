"""What the cells of each column of a table are: numbers, categories, booleans, dates or texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.data.overview.overview import Kind
from hpo.data.readers.tables.dates import read_dates
from hpo.data.readers.tables.table import TRUTH

if TYPE_CHECKING:
    import pandas as pd

# Dates with a year of four digits or three numbers; `15-19` is none.
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ]\d.*)?|\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2,4}( \d.*)?|"
    r"\d{1,2}[- ][A-Za-z]{3,9}[- ,]+\d{2,4}|[A-Za-z]{3,9} \d{1,2},? \d{4}",
    re.ASCII,
)
_DATES_TO_READ = 2000
_COLUMNS_AT_ONCE = 1000
# A text has this many words in the mean, or as many characters where there are no blanks.
_LEAST_WORDS, _LEAST_CHARACTERS = 4, 8
_SPACED = re.compile(r"\s")


@dataclass(frozen=True, eq=False)
class Cells:
    """What the cells of a column are; one that `rises` is nowhere below the row before."""

    name: str
    kind: Kind
    gaps: int
    distinct: int
    example: str
    low: float = 0.0
    high: float = 0.0
    rises: bool = False
    falls: bool = False
    is_skewed: bool = False
    is_number: bool = False  # as the file has it, which a date such as 20240131 is
    words: float = 0.0  # in the mean, of a text


def kinds_of(frame: pd.DataFrame) -> Iterator[Cells]:
    """What the cells of each column are, in order."""
    import pandas as pd

    is_numeric, is_bool = pd.api.types.is_numeric_dtype, pd.api.types.is_bool_dtype
    places = np.flatnonzero([is_numeric(kind) and not is_bool(kind) for kind in frame.dtypes])
    found: dict[int, Cells] = {}
    for start in range(0, len(places), _COLUMNS_AT_ONCE):
        some = places[start : start + _COLUMNS_AT_ONCE]
        values = frame.iloc[:, some].to_numpy(np.float64, na_value=np.nan)
        names = [str(frame.columns[place]) for place in some]
        found |= zip(some.tolist(), _numbers(names, values), strict=True)
    for place, name in enumerate(frame.columns):
        yield found[place] if place in found else _words(str(name), frame.iloc[:, place])


def _numbers(names: list[str], values: np.ndarray) -> Iterator[Cells]:
    gaps = np.isnan(values).sum(axis=0)
    ordered = np.sort(values, axis=0)  # gaps last
    steps = np.diff(ordered, axis=0)
    distinct = (steps > 0).sum(axis=0) + (gaps < len(values))
    with np.errstate(invalid="ignore"):
        is_whole: np.ndarray = ((values == np.floor(values)) | np.isnan(values)).all(axis=0)
        changes = np.diff(values, axis=0)
        rises = np.asarray((changes >= 0).all(axis=0))
        falls = np.asarray((changes <= 0).all(axis=0))
    for place, name in enumerate(names):
        count = len(values) - int(gaps[place])
        if not count:
            yield Cells(name, "empty", len(values), 0, "", is_number=True)
            continue
        column = ordered[:count, place]
        first = values[np.flatnonzero(~np.isnan(values[:, place]))[0], place]
        yield Cells(
            name=name,
            kind="whole" if is_whole[place] else "number",
            gaps=int(gaps[place]),
            distinct=int(distinct[place]),
            example=f"{first:.6g}" if abs(first) < 1e6 else f"{first:.12g}",
            low=float(column[0]),
            high=float(column[-1]),
            rises=bool(rises[place]),
            falls=bool(falls[place]),
            is_skewed=_is_skewed(column),
            is_number=True,
        )


def _is_skewed(ordered: np.ndarray) -> bool:
    """Whether a few numbers are far from all others, as incomes are."""
    tenth, half, ninth = ordered[[int(share * (len(ordered) - 1)) for share in (0.1, 0.5, 0.9)]]
    spread = max(ninth - half, half - tenth)
    return bool(spread > 0 and max(ordered[-1] - half, half - ordered[0]) > 8 * spread)


def _words(name: str, column: pd.Series[Any]) -> Cells:
    cells = column.dropna()
    gaps = len(column) - len(cells)
    if not len(cells):
        return Cells(name, "empty", gaps, 0, "")
    texts = cells.astype(str)
    different = texts.unique()
    example = str(different[0])
    known = Cells(name, "category", gaps, len(different), example)
    words = {text.strip().casefold() for text in different[:3]}
    if len(different) == 2 and words <= TRUTH.keys():
        return _of_kind(known, "boolean")
    if _are_dates(texts):
        dates = read_dates(texts)[0]
        steps = np.diff(dates).astype(np.int64)
        return _of_kind(
            known, "date", rises=bool((steps >= 0).all()), falls=bool((steps <= 0).all())
        )
    length = _words_in_mean(different)
    if length >= _LEAST_WORDS and len(different) > max(20, len(texts) / 4):
        return _of_kind(known, "text", words=length)
    return known


def _of_kind(known: Cells, kind: Kind, **facts: Any) -> Cells:
    return Cells(known.name, kind, known.gaps, known.distinct, known.example, **facts)


def _are_dates(texts: pd.Series[Any]) -> bool:
    some = texts.iloc[:_DATES_TO_READ]
    if not all(_DATE.fullmatch(text.strip()) for text in some.iloc[:20]):
        return False
    return bool(read_dates(some)[1].all())


def _words_in_mean(different: np.ndarray) -> float:
    """Words of a text in the mean; of one without blanks, as Chinese has, a part of its length."""
    some = [str(text) for text in different[:500]]
    spaced = np.mean([len(text.split()) for text in some])
    if spaced >= _LEAST_WORDS:
        return float(spaced)
    east_asian = np.mean([sum(character > "\u2e80" for character in text) for text in some])
    return float(max(spaced, _LEAST_WORDS * east_asian / _LEAST_CHARACTERS))
