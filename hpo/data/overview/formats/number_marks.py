"""How a file writes its numbers, found in its first rows: what a spec has to say of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.data.readers.tables.numbers import BLANKS, points
from hpo.data.readers.tables.table import EMPTY_WORDS

_UNITS = r"US\$|R\$|A\$|C\$|[$€£¥₹₽₩₺₫₴%‰]|USD|EUR|GBP|CHF|JPY|CNY|INR|zł|kr"
_NUMBER = re.compile(
    rf"\s*[+-]?\s*(?P<before>{_UNITS})?\s*[+-]?(?P<body>[0-9.,][0-9.,'{BLANKS}]*?)"
    rf"(?:[eE][+-]?[0-9]+)?\s*(?P<after>{_UNITS})?\s*"
)
_LEAST_NUMBERS = 0.9  # of a column's cells, where some of them have marks
_GROUPS = {
    ",": r"[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?",
    ".": r"[1-9][0-9]{0,2}(\.[0-9]{3})+(,[0-9]*)?",
    " ": rf"[1-9][0-9]{{0,2}}([{BLANKS}][0-9]{{3}})+([.,][0-9]*)?",
    "'": r"[1-9][0-9]{0,2}('[0-9]{3})+([.,][0-9]*)?",
}


@dataclass(frozen=True)
class NumberMarks:
    """The decimal point of a file, what groups digits, and the signs beside its numbers."""

    decimal: str = "."
    thousands: str | None = None
    units: tuple[str, ...] = ()

    @property
    def as_written(self) -> dict[str, Any]:
        """What a spec says of them."""
        found: dict[str, Any] = {} if self.decimal == "." else {"decimal": self.decimal}
        if self.thousands is not None:
            found["thousands"] = self.thousands
        return found | ({"units": list(self.units)} if self.units else {})


def number_marks(rows: Sequence[Sequence[str]], separator: str) -> NumberMarks:
    """How the columns of numbers among these rows are written."""
    columns = [*_columns(rows)]
    numbers = [found for cells in columns if (found := _numbers_of(cells))]
    units = Counter(
        unit
        for column in numbers
        for number in column
        for unit in (number["before"], number["after"])
        if unit
    )
    bodies = [[number["body"].strip() for number in column] for column in numbers]
    thousands = next(
        (mark for mark in (" ", "'", ",", ".") if any(_are_grouped(one, mark) for one in bodies)),
        None,
    )
    # 1.234.567 leaves no other decimal point, and 1,234,567 no comma.
    decimal = {",": ".", ".": ","}.get(thousands or "")
    if decimal is None:
        has_comma = any(_has_decimal_comma(one, separator) for one in (*bodies, *columns))
        decimal = "," if has_comma else "."
    # Of 1.500 nothing else says that it is more than 2, so that the point needs a comma beside it.
    group = "." if decimal == "," else ","
    if thousands is None and any(_may_be_grouped(one, group) for one in bodies):
        thousands = group
    return NumberMarks(decimal, thousands, tuple(sorted(units)))


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The cells of each column that are not empty."""
    width = Counter(map(len, rows)).most_common(1)[0][0]
    for column in zip(*(row for row in rows if len(row) == width), strict=True):
        yield [cell for cell in column if cell.strip() and cell.strip() not in EMPTY_WORDS]


def _numbers_of(cells: Sequence[str]) -> list[re.Match[str]]:
    """The cells of a column of numbers, in whatever way they are written; none of another."""
    found = [one for one in map(_NUMBER.fullmatch, cells) if one and not (one[1] and one[3])]
    return found if found and len(found) >= _LEAST_NUMBERS * len(cells) else []


def _are_grouped(bodies: Sequence[str], mark: str) -> bool:
    """Whether some numbers leave no doubt: 1,234,567 or 1,234.5, or blanks among digits."""
    grouped = [body for body in bodies if re.fullmatch(_GROUPS[mark], body)]
    others = "" if mark in " '" else {",": ".", ".": ","}[mark]
    is_sure = any(mark in " '" or body.count(mark) > 1 or others in body for body in grouped)
    return is_sure and all(body in grouped or mark not in body for body in bodies)


def _may_be_grouped(bodies: Sequence[str], mark: str) -> bool:
    """Whether every number with the mark has it between groups of three digits."""
    marked = [body for body in bodies if mark in body]
    return bool(marked) and all(re.fullmatch(_GROUPS[mark], body) for body in marked)


def _has_decimal_comma(cells: Sequence[str], separator: str) -> bool:
    """Whether half of the cells are numbers such as 1,5.

    Of 1,500 only a spreadsheet that parts cells by semicolons says that it is less than 2.
    """
    marked = [cell for cell, point in zip(cells, points(cells), strict=True) if cell != point]
    marked += [cell for cell in cells if "," in cell and re.fullmatch(_GROUPS["."], cell)]
    are_lists = any(re.fullmatch(r"[0-9]+(,[0-9]+){2,}", cell) for cell in cells)
    if not marked or are_lists or 2 * len(marked) < len(cells):
        return False
    return separator == ";" or not _may_be_grouped(marked, ",")
