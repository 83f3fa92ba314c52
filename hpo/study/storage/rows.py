"""Reads rows of the database, and finds those that something other than hpo has changed.

An event and a study are stored with a checksum. Rows of earlier versions have none, so that only
values of a wrong type, gaps and values that make no sense are found in them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from hpo.errors import DamagedError
from hpo.study.log.damage import as_damage
from hpo.study.log.event_rows import EventRow, checksum

# The last millisecond of the year 9999: no later time can be shown.
_LAST_MS = 253_402_300_799_999
_SEALED = (
    "name",
    "document",
    "document_hash",
    "seed",
    "created_ms",
    "provenance",
    "data_fingerprint",
    "hpo_version",
)


def read_rows(
    connection: sa.Connection, query: sa.Select[Any], table: sa.Table, where: str, first: int = 1
) -> Sequence[sa.Row[Any]]:
    """The rows that a query finds in a table, each value of its column's type.

    Raises:
        DamagedError: for any other value; the rows are counted from `first`.
    """
    try:
        rows = connection.execute(query).all()
    except sa.exc.OperationalError as error:
        if "decode" not in str(error.orig):
            raise
        place = _place(table, first + _readable(connection, query))
        raise DamagedError(where, f"{place}: its text is not UTF-8") from error
    for position, name in enumerate(rows[0]._fields if rows else ()):
        column, cells = table.c[name], [row[position] for row in rows]
        if not _all_fit(column, cells):
            number = next(n for n, cell in enumerate(cells) if not _all_fit(column, [cell]))
            what = f"its {name} cannot be {str(cells[number])[:40]!r}"
            raise DamagedError(where, f"{_place(table, first + number)}: {what}")
    return rows


def check_log(
    study_id: int, rows: Sequence[EventRow], since: int, last_seq: int | None, where: str
) -> None:
    """Refuse a log with a gap, a missing end or an event that is not as it was stored.

    `rows` are the events after `since`. `last_seq` is the last event that was stored, where known.

    Raises:
        DamagedError: with the number of the first event that is wrong.
    """
    seq, is_sealed = since, False
    for row in rows:
        seq += 1
        if row.seq != seq:
            raise DamagedError(where, f"hpo_events: event {seq} is missing")
        if row.checksum is not None:
            is_sealed = True
            if row.checksum != checksum(study_id, row):
                raise DamagedError(where, f"hpo_events, event {seq}: its checksum does not match")
        elif is_sealed:
            raise DamagedError(where, f"hpo_events, event {seq}: its checksum is missing")
    if last_seq is not None and seq < last_seq:
        what = f"events {seq + 1} to {last_seq} are missing"
        raise DamagedError(where, f"hpo_events: {what}")


def study_checksum(values: Mapping[str, Any]) -> int:
    """The CRC-32 of the columns of a study that only `hpo` changes, and rarely."""
    return zlib.crc32(repr([values[name] for name in _SEALED]).encode())


def unsealed(row: sa.Row[Any], where: str) -> dict[str, Any]:
    """The columns of a study's row, its document and provenance as plain values.

    Raises:
        DamagedError: for a row that is not as it was stored.
    """
    values = row._asdict()
    place = f"hpo_studies, study {values['name'][:80]!r}"
    sealed = values.pop("checksum")
    if sealed is not None and sealed != study_checksum(values):
        raise DamagedError(where, f"{place}: its checksum does not match")
    if sha256(values["document"].encode()).hexdigest() != values["document_hash"]:
        raise DamagedError(where, f"{place}: its spec is not as it was stored")
    with as_damage(where, place):
        for name in ("document", "provenance"):
            values[name] = json.loads(values[name])
            if not isinstance(values[name], dict):
                raise TypeError(f"its {name} is no mapping")
        provenance = values["provenance"]
        for name, kind in {"folder": str, "device": str, "versions": dict}.items():
            if not isinstance(provenance.get(name, kind()), kind):
                raise TypeError(f"its {name} cannot be {provenance[name]!r}")
    return values


def _all_fit(column: sa.Column[Any], cells: Sequence[Any]) -> bool:
    kinds = set(map(type, cells)) - ({type(None)} if column.nullable else set())
    if not kinds <= {column.type.python_type}:
        return False
    if int not in kinds:
        return True
    numbers: list[int] = [cell for cell in cells if cell is not None]
    low, high = min(numbers), max(numbers)
    if column.name.endswith("_ms"):
        return low >= 0 and high <= _LAST_MS
    return isinstance(column.type, sa.BigInteger) or (low >= 0 and high < 2**31)


def _readable(connection: sa.Connection, query: sa.Select[Any]) -> int:
    """How many rows come before the first whose text cannot be decoded."""
    count = 0
    try:
        for _ in connection.execute(query):
            count += 1
    except sa.exc.OperationalError:
        pass
    return count


def _place(table: sa.Table, number: int) -> str:
    return f"{table.name}, {'event' if table.name == 'hpo_events' else 'row'} {number}"
