"""Changes in a database by somebody who knows its checksums, and calls of the package on it."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from hpo.study.log.event_rows import EventRow, checksum
from hpo.study.storage.rows import study_checksum
from tests.campaign.forked import Ended, batch


@contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """A database whose rows have names."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def store_study(connection: sqlite3.Connection, values: dict[str, Any]) -> None:
    """Write the only study, with a hash of its document and a checksum that fit."""
    values = {**values, "document_hash": sha256(values["document"].encode()).hexdigest()}
    values["checksum"] = study_checksum(values)
    columns = ", ".join(f"{column} = ?" for column in values)
    connection.execute(f"update hpo_studies set {columns}", tuple(values.values()))


def store_event(connection: sqlite3.Connection, row: sqlite3.Row, **changed: Any) -> None:
    """Write a row of the log with other values, and a checksum that fits."""
    names = EventRow._fields
    values = {**{name: row[name] for name in names}, **changed}
    values["checksum"] = checksum(row["study_id"], EventRow(**values))
    columns = ", ".join(f"{column} = ?" for column in names)
    order = f"update hpo_events set {columns} where seq = ? and study_id = ?"
    keys = (row["seq"], row["study_id"])
    connection.execute(order, (*(values[column] for column in names), *keys))


def called(folder: Path, call: Callable[[], object]) -> Ended:
    """How a call in a folder ends; a mistake that the package tells ends it as `hpo` would."""

    def case() -> None:
        from hpo.errors import HpoError

        try:
            call()
        except HpoError as error:
            print(error, file=sys.stderr)
            raise SystemExit(2) from None

    (ended,) = batch(folder, [case])
    return ended
