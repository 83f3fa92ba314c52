"""How a table writes its numbers: decimal commas, groups of digits, and signs such as $ and %.

Free of NumPy and pandas, so that `hpo check` can look at the head of a table at once.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from hpo.spec.sections.data import CsvFile

# A number with a decimal comma.
_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*", re.ASCII)
_MARKED = re.compile(r"\s*[+-]?[$€£¥₹]?\s?[+-]?[0-9][0-9.,' ]*\s?[%$€£¥₹]?\s*")
# The blanks that group digits, of which a file may use any.
BLANKS = " \u00a0\u2009\u202f"
_ROWS_AT_ONCE = 10_000


def points(cells: Sequence[str]) -> list[str]:
    """The cells with 1.5 for numbers such as 1,5."""
    return [cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell for cell in cells]


def plain_numbers(cells: Sequence[str], spec: CsvFile) -> list[str]:
    """The cells with 1106.5 for numbers such as $1,106.50, as the spec says they are written."""
    if not has_marks(spec):
        return points(cells) if spec.decimal == "," else [*cells]
    pattern = number_pattern(spec.decimal, spec.thousands, spec.units)
    return [_plain(cell, pattern) for cell in cells]


def has_marks(spec: CsvFile) -> bool:
    """Whether numbers have more in them than pandas reads."""
    return spec.thousands is not None or bool(spec.units)


def marks_hint(cell: str) -> str:
    """What to write where a text is a number with marks, such as $1,106; empty for another."""
    if not _MARKED.fullmatch(cell):
        return ""
    return " Where these are numbers, write units or thousands in data.dataset."


def plain_rows(
    lines: io.TextIOBase, spec: CsvFile, *, has_header: bool, keeps_blank: bool = False
) -> Iterator[bytes]:
    """The text of a table with plain numbers, in pieces; its header stays as it is.

    Blank lines are left out unless it `keeps_blank` ones, which are empty cells.
    """
    reader = csv.reader(lines, delimiter=spec.separator)
    out = io.StringIO(newline="")
    # With both characters in its line break, the writer quotes a cell that holds either.
    writer = csv.writer(out, delimiter=spec.separator, lineterminator="\r\n")
    count = 0
    for cells in reader:
        if not (cells or keeps_blank):
            continue
        cells = cells or [""]
        is_header = has_header and count == 0
        writer.writerow(cells if is_header else plain_numbers(cells, spec))
        count += 1
        if count % _ROWS_AT_ONCE == 0:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode()


@lru_cache
def number_pattern(decimal: str, thousands: str | None, units: tuple[str, ...]) -> re.Pattern[str]:
    """What matches a number whole: its sign, before or after a unit, and its digits."""
    point, digits = re.escape(decimal), "[0-9]+"
    if thousands is not None:
        group = f"[{BLANKS}]" if thousands == " " else re.escape(thousands)
        digits = rf"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+"
    unit = "|".join(map(re.escape, units)) or "(?!)"
    return re.compile(
        rf"\s*(?P<sign>[+-]?)\s*(?:(?:{unit})\s*)?(?P<inner>[+-]?)"
        rf"(?P<digits>{digits})?(?:{point}(?P<rest>[0-9]*))?(?P<power>[eE][+-]?[0-9]+)?"
        rf"(?:\s*(?:{unit}))?\s*"
    )


def _plain(cell: str, pattern: re.Pattern[str]) -> str:
    found = pattern.fullmatch(cell)
    if found is None or not (found["digits"] or found["rest"]):
        return cell
    if found["sign"] and found["inner"]:
        return cell
    whole = re.sub("[^0-9]", "", found["digits"] or "")
    rest = "" if found["rest"] is None else f".{found['rest']}"
    return f"{found['sign']}{found['inner']}{whole}{rest}{found['power'] or ''}"
