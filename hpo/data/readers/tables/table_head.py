"""The head of a table: its first rows, their columns, and what is wrong with them.

Free of NumPy and pandas, so that `hpo check` can look at it at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, count
from pathlib import Path

from hpo.data.files import opened
from hpo.data.head import Head, HeadMistake
from hpo.data.readers.tables.idle import Cells, idle_notes
from hpo.data.readers.tables.table import (
    ISO_DATE,
    MOST_FLOAT32,
    MOST_NUMERIC_CLASSES,
    NUMERIC_SHARE,
    ROWS_TO_COMPARE,
    Finding,
    Row,
    column_findings,
    column_names,
    dates_note,
    first_row,
    gap_words,
    headless_warning,
    huge_number,
    huge_target,
    in_utf8,
    is_boolean,
    is_gap,
    is_number,
    listed,
    looks_like_data,
    many_texts,
    no_boolean,
    no_date,
    no_features,
    no_rows,
    no_target,
    numbered_rows,
    row_finding,
    sentences_note,
    stray_text,
    table_text,
)
from hpo.data.text.sentences import are_sentences
from hpo.errors import DataError
from hpo.spec.sections.columns import MOST_CATEGORIES, Columns, Treatment
from hpo.spec.sections.data import CsvFile, DataSpec, Task
from hpo.spec.words import count_text, shown

# How much of a file is read, and how many rows of another length are counted.
_MOST_BYTES = 1 << 20
_MOST_RAGGED = 1000


@dataclass(frozen=True)
class Column:
    """The cells of a column by what they hold; the lines of its first gap, text and huge number.

    `different` counts the different cells that are no gaps.
    """

    name: str
    numbers: int
    texts: int
    gaps: int
    different: int
    gap_line: int | None
    text_line: int | None
    huge_line: int | None
    text: str
    has_sentences: bool  # of a column of very many texts
    whole_numbers: int | None  # how many different ones; None where one has a fraction

    @property
    def holds_numbers(self) -> bool:
        """Whether a text in this column is a mistake."""
        return self.numbers > 0 and self.numbers >= NUMERIC_SHARE * (self.numbers + self.texts)


@dataclass(frozen=True)
class TableHead:
    """The first rows of a table; `is_whole` says whether there are no others.

    `is_doubtful` says whether the first row is read as the header and looks like data.
    """

    path: Path
    first: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: int
    is_whole: bool
    is_doubtful: bool
    findings: tuple[Finding, ...]


def read_head(path: Path, section: DataSpec) -> TableHead:
    """The rows in the first MiB of a table, and what is wrong with them.

    Raises:
        DataError: for a file that cannot be read or is no CSV.
    """
    spec: CsvFile = section.dataset
    data, is_whole = _first_mib(path, spec.encoding)
    rows = numbered_rows(path, table_text(path, data, spec.skip), spec, is_whole=is_whole)
    first, rows = first_row(path, rows, spec)
    names = column_names(first.cells, has_names=spec.header is not False)
    findings: list[Finding] = []
    fitting: list[Row] = []
    for row in rows:
        if (finding := row_finding(row, names, spec)) is None:
            fitting.append(row)
        elif len(findings) < _MOST_RAGGED:
            findings.append(finding)
    below = [row.cells for row in fitting[:ROWS_TO_COMPARE]]
    is_doubtful = spec.header is None and looks_like_data(first.cells, below, spec)
    findings += column_findings(
        names, spec, first.line, is_doubtful, section.split, section.columns
    )
    if not fitting and not findings:
        raise (
            no_rows(path)
            if is_whole
            else DataError(f"{path}: no second row ends within the first MiB: is it a table?")
        )
    findings += _typed_findings(names, fitting, gap_words(spec), section.columns)
    found = tuple(_columns(names, fitting, gap_words(spec)))
    return TableHead(
        path, tuple(first.cells), found, len(fitting), is_whole, is_doubtful, tuple(findings)
    )


def head(path: Path, spec: DataSpec) -> Head:
    """What `hpo check` tells of the head of a table.

    Raises:
        DataError: for a file that cannot be read or is no CSV.
    """
    assert isinstance(spec.dataset, CsvFile)
    found, dataset = read_head(path, spec), spec.dataset
    size = f"{count_text(found.rows, 'row')} of {count_text(len(found.columns), 'column')}"
    seen = f"{dataset.csv}: {size}"
    if not found.is_whole:
        seen += ", the first MiB of the file; the rest was not read"
    by_name = {column.name: column for column in found.columns}
    findings, notes = list(found.findings), []
    if found.is_doubtful:
        notes.append(headless_warning(found.first, dataset))
    for target in [by_name[name] for name in dataset.targets if name in by_name]:
        if target.gap_line and not dataset.drop_rows.missing_target:
            findings.append(Finding("target", target.gap_line, no_target(target.gaps, target.name)))
        if target.huge_line is not None and not target.texts:
            findings.append(Finding("target", target.huge_line, huge_target(target.name)))
    others = no_features(dataset, spec.split, spec.columns)
    features = [column for column in found.columns if column.name not in others]
    for column in features:
        judged = _told(column, spec.columns.of(column.name), dataset.csv)
        if isinstance(judged, Finding):
            findings.append(judged)
        elif judged is not None:
            notes.append(judged)
    cells: dict[str, Cells] = {
        column.name: "categories" if column.texts else "numbers"
        for column in features
        if (found.is_whole or column.texts) and not _may_be_typed(column)
    }
    notes += idle_notes(dataset.csv, spec.columns, cells)
    usual = [column for column in features if spec.columns.of(column.name).has_usual_fill]
    gaps = [f"{shown(column.name)} {column.gaps:,}" for column in usual if column.gaps]
    if gaps:
        text = f"{dataset.csv}: gaps in {listed(gaps)}: each gets the median of its column's "
        notes.append(f"{text}training rows, or their most frequent text.")
    mistakes = [
        HeadMistake(
            finding.path,
            f"{path}{'' if finding.line is None else f':{finding.line}'}: {finding.text}",
        )
        for finding in findings
    ]
    return Head(seen, tuple(mistakes), tuple(notes), _task(found, dataset))


def _task(found: TableHead, dataset: CsvFile) -> Task | None:
    """The task of a single target that the spec leaves to the data, if the head decides it."""
    if dataset.task != "auto" or not isinstance(dataset.target, str):
        return None
    target = next((one for one in found.columns if one.name == dataset.target), None)
    if target is None:
        return None
    if target.texts:
        return "classification"
    if target.whole_numbers is None or target.whole_numbers > MOST_NUMERIC_CLASSES:
        return "regression"
    return "classification" if found.is_whole else None


def _may_be_typed(column: Column) -> bool:
    """Whether the reader may take texts for sentences, dates or booleans."""
    some = column.text
    return column.has_sentences or bool(ISO_DATE.fullmatch(some) or (some and is_boolean(some)))


def _told(column: Column, treatment: Treatment, csv: str) -> Finding | str | None:
    """The mistake in a column, or a note about it."""
    if treatment.type not in ("auto", "category"):
        return None
    if treatment.type == "auto" and column.huge_line is not None and not column.texts:
        return Finding("csv", column.huge_line, huge_number(column.name))
    if column.different > MOST_CATEGORIES and treatment.type == "category" and treatment.is_one_hot:
        return Finding("csv", None, many_texts(column.name, column.different, column.text))
    if treatment.type == "category" or not column.texts:
        return None
    if column.holds_numbers:
        return Finding("csv", column.text_line, stray_text(column.name, column.text))
    if column.different > MOST_CATEGORIES and treatment.is_one_hot:
        if ISO_DATE.fullmatch(column.text):
            return dates_note(csv, column.name)
        if column.has_sentences:
            return sentences_note(csv, column.name)
        return Finding("csv", None, many_texts(column.name, column.different, column.text))
    if column.numbers > column.texts:
        text = f"column {shown(column.name)} holds {shown(column.text)} beside numbers, and all"
        return (
            f"{csv}: {text} of it is read as text: if it is no value, list it in "
            "data.dataset.missing."
        )
    if ISO_DATE.fullmatch(column.text):
        return (
            f"{csv}: column {shown(column.name)} holds {shown(column.text)}, and each text is a "
            "category: for the parts of dates write type: date for it in data.columns.by_name."
        )
    return None


def _typed_findings(
    names: Sequence[str], rows: Sequence[Row], gaps: frozenset[str], columns: Columns
) -> Iterator[Finding]:
    """The first cell of each column of booleans or dates that cannot be one."""
    for name, column in columns.by_name.items():
        if column.type not in ("boolean", "date") or name not in names:
            continue
        place = list(names).index(name)
        for row in rows:
            cell = row.cells[place]
            if is_gap(cell, gaps):
                continue
            if column.type == "boolean" and not is_boolean(cell):
                yield Finding("csv", row.line, no_boolean(name, cell))
                break
            if column.type == "date" and not any(map(str.isdigit, cell)):
                yield Finding("csv", row.line, no_date(name, cell))
                break


def _columns(names: Sequence[str], rows: Sequence[Row], gaps: frozenset[str]) -> Iterator[Column]:
    for place, name in enumerate(names):
        cells = [row.cells[place] for row in rows]
        counts = Counter(cells)
        empty, texts, huge = _kinds_of(counts, gaps)
        gap, text, too_large = (_first_of(some, cells) for some in (empty, texts, huge))
        in_gaps, in_texts = (sum(counts[cell] for cell in some) for some in (empty, texts))
        yield Column(
            name=name,
            numbers=len(cells) - in_gaps - in_texts,
            texts=in_texts,
            gaps=in_gaps,
            different=len(counts) - len(empty),
            gap_line=None if gap is None else rows[gap].line,
            text_line=None if text is None else rows[text].line,
            huge_line=None if too_large is None else rows[too_large].line,
            text="" if text is None else cells[text],
            has_sentences=len(texts) > MOST_CATEGORIES and are_sentences(sorted(texts)),
            whole_numbers=_whole_numbers({*counts} - empty - texts),
        )


def _whole_numbers(cells: Iterable[str]) -> int | None:
    values = {*map(float, cells)}
    return len(values) if all(value.is_integer() for value in values) else None


def _first_of(some: set[str], cells: Sequence[str]) -> int | None:
    """The place of the first cell that is one of some."""
    return next(compress(count(), map(some.__contains__, cells))) if some else None


def _kinds_of(cells: Iterable[str], gaps: frozenset[str]) -> tuple[set[str], set[str], set[str]]:
    """Those of different cells that are gaps, texts, and numbers that float32 cannot hold."""
    empty, texts, huge = set[str](), set[str](), set[str]()
    for cell in cells:
        if is_gap(cell, gaps):
            empty.add(cell)
        elif not is_number(cell):
            texts.add(cell)
        elif abs(float(cell)) > MOST_FLOAT32:
            huge.add(cell)
    return empty, texts, huge


def _first_mib(path: Path, encoding: str) -> tuple[bytes, bool]:
    """The whole lines in the first MiB of a file in UTF-8, and whether these are all of it."""
    with opened(path) as stream:
        data = stream.read(_MOST_BYTES + 1)
    if len(data) <= _MOST_BYTES:
        return in_utf8(path, data, encoding), True
    data = in_utf8(path, data[:_MOST_BYTES], encoding, is_whole=False)
    end = max(data.rfind(b"\n"), data.rfind(b"\r"))
    if end < 0:
        raise DataError(
            f"{path}: its first line is longer than 1 MiB: this is no table of cells in lines."
        )
    return data[: end + 1], False
