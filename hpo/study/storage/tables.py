"""The study's tables, in SQLite files and on PostgreSQL servers, by SQLAlchemy Core.

`Storage.create` is for the driver of a study, `Storage.read` for all others. Both turn database
errors that a user can fix into a one-line `StudyError`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import sqlalchemy as sa

from hpo import __version__
from hpo.errors import StudyError
from hpo.study.log.event_rows import EventRow, from_rows, to_row
from hpo.study.log.events import Event
from hpo.study.storage.database import database_path, engine_for, explained, parsed_url, shown, tidy

SCHEMA_VERSION = 1

_METADATA = sa.MetaData()
_SCHEMA = sa.Table(
    "hpo_schema", _METADATA, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)
)
STUDIES = sa.Table(
    "hpo_studies",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(512), nullable=False, unique=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("document_hash", sa.String(64), nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("provenance", sa.Text, nullable=False),
    sa.Column("data_fingerprint", sa.String(128), nullable=False),
    sa.Column("hpo_version", sa.String(64), nullable=False),
    # The last event in Optuna's tables, which lag if a driver was killed before it wrote them.
    sa.Column("mirrored_seq", sa.Integer, nullable=False),
)
EVENTS = sa.Table(
    "hpo_events",
    _METADATA,
    sa.Column("study_id", sa.ForeignKey(STUDIES.c.id), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("trial", sa.Integer),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("epoch", sa.Integer),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
)
LEASES = sa.Table(
    "hpo_leases",
    _METADATA,
    sa.Column("study_id", sa.ForeignKey(STUDIES.c.id), primary_key=True),
    sa.Column("token", sa.String(64), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_start", sa.String(64), nullable=False),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
    sa.Column("heartbeat_ms", sa.BigInteger, nullable=False),
)
# Optuna's table of studies, as far as a rename needs it: importing Optuna's models takes 0.3 s.
_OPTUNA_STUDIES = sa.table("studies", sa.column("study_name", sa.String))


class NothingStoredError(StudyError):
    """There is no study in the storage; `fact` is the message without its cure."""

    def __init__(self, fact: str, cure: str) -> None:
        super().__init__(f"{fact}: {cure}.")
        self.fact = fact


class Mirror(Protocol):
    """A copy of the log in another form, such as Optuna's tables."""

    def write(self, connection: sa.Connection, events: Sequence[Event]) -> None:
        """Write new events, in the transaction that stores them."""

    def committed(self) -> None:
        """Do what remains to be done after that transaction."""


@dataclass(frozen=True)
class StudyRecord:
    """A study as stored, without its log; `document` is its spec as plain values."""

    id: int
    name: str
    document: Mapping[str, Any]
    document_hash: str
    seed: int
    created_ms: int
    provenance: Mapping[str, Any]
    data_fingerprint: str
    hpo_version: str
    mirrored_seq: int


class Storage:
    """An open database of studies. Once it is closed, the .db file alone holds everything."""

    def __init__(self, url: sa.URL, engine: sa.Engine, *, writes: bool) -> None:
        self.url = url
        self._engine = engine
        self._writing_engine = engine.execution_options(hpo_writes=True)
        self._writes = writes
        self._path = database_path(url)
        self.where = shown(url)

    @classmethod
    def create(cls, url: str) -> Storage:
        """Open the database at `url` for writing; create it if it is missing.

        Raises:
            StudyError: if it cannot be opened or written, or belongs to a later version of hpo.
        """
        return cls._opened(url, writes=True)

    @classmethod
    def read(cls, url: str) -> Storage:
        """Open the existing database at `url` for reading, which may be a read-only file.

        Raises:
            StudyError: if it is missing, is not a database or belongs to a later version of hpo.
        """
        parsed = parsed_url(url)
        path = database_path(parsed)
        # Not `path.exists()`, which raises where a parent folder may not be entered.
        if path is not None and not os.path.exists(path):  # noqa: PTH110
            raise NothingStoredError(
                f"no study database at {shown(parsed)}",
                "run `hpo search SPEC` first or give --storage",
            )
        return cls._opened(url, writes=False)

    @classmethod
    def _opened(cls, url: str, *, writes: bool) -> Storage:
        parsed = parsed_url(url)
        storage = cls(parsed, engine_for(parsed, writes=writes), writes=writes)
        with ExitStack() as undo:
            undo.callback(storage.close)
            storage._prepare()
            undo.pop_all()
        return storage

    def close(self) -> None:
        """Close the connections; a SQLite database is then one complete file again."""
        self._engine.dispose()
        if self._writes and self._path is not None:
            tidy(self._path)

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection in a transaction that sees one state of the database."""
        with explained(self.url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection in a transaction that no other writer can interleave with (SQLite)."""
        with explained(self.url), self._writing_engine.begin() as connection:
            yield connection

    def studies(self) -> tuple[StudyRecord, ...]:
        """All studies, oldest first."""
        with self.reading() as connection:
            rows = connection.execute(sa.select(STUDIES).order_by(STUDIES.c.id)).all()
        return tuple(_record(row) for row in rows)

    def find(self, name: str) -> StudyRecord | None:
        """The study with this name, or None."""
        with self.reading() as connection:
            row = connection.execute(sa.select(STUDIES).where(STUDIES.c.name == name)).first()
        return None if row is None else _record(row)

    def study(self, name: str) -> StudyRecord:
        """The study with this name.

        Raises:
            StudyError: if there is none; the message lists the existing ones.
        """
        found = self.find(name)
        if found is not None:
            return found
        names = [study.name for study in self.studies()]
        if not names:
            raise NothingStoredError(
                f"{self.where} holds no studies", "run `hpo search SPEC` first"
            )
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise StudyError(
            f"{self.where} has no study '{name}'.{hint} Its studies: {', '.join(sorted(names))}."
        )

    def create_study(
        self,
        name: str,
        document: Mapping[str, Any],
        seed: int,
        provenance: Mapping[str, Any],
        data_fingerprint: str,
    ) -> StudyRecord:
        """Store a new study.

        Raises:
            StudyError: if the name is taken, also by a study of Optuna's.
        """
        values = {
            "name": name,
            "document": json.dumps(document),
            "document_hash": document_hash(document),
            "seed": seed,
            "created_ms": _now_ms(),
            "provenance": json.dumps(provenance),
            "data_fingerprint": data_fingerprint,
            "hpo_version": __version__,
            "mirrored_seq": 0,
        }
        with self.writing() as connection:
            if name in _names(connection):
                raise StudyError(
                    f"{self.where} already holds a study '{name}': give yours another name."
                )
            connection.execute(sa.insert(STUDIES).values(values))
            row = connection.execute(sa.select(STUDIES).where(STUDIES.c.name == name)).one()
        return _record(row)

    def update_document(self, study_id: int, document: Mapping[str, Any]) -> None:
        """Replace the spec of a study, after a harmless change."""
        values = {"document": json.dumps(document), "document_hash": document_hash(document)}
        with self.writing() as connection:
            connection.execute(sa.update(STUDIES).where(STUDIES.c.id == study_id).values(values))

    def set_aside(self, study_id: int) -> str:
        """Rename a study to the first free name of name-1, name-2, ..., in Optuna's table too."""
        with self.writing() as connection:
            by_id = STUDIES.c.id == study_id
            old = connection.execute(sa.select(STUDIES.c.name).where(by_id)).scalar_one()
            taken = _names(connection)
            new = next(f"{old}-{n}" for n in range(1, len(taken) + 2) if f"{old}-{n}" not in taken)
            connection.execute(sa.update(STUDIES).where(by_id).values(name=new))
            if sa.inspect(connection).has_table("studies"):
                connection.execute(
                    sa.update(_OPTUNA_STUDIES)
                    .where(_OPTUNA_STUDIES.c.study_name == old)
                    .values(study_name=new)
                )
        return new

    def events(self, study_id: int, since: int = 0) -> list[Event]:
        """The log of a study after the event numbered `since`."""
        with self.reading() as connection:
            return read_events(connection, study_id, since)

    def append(
        self, study_id: int, events: Sequence[Event], token: str, mirror: Mirror | None = None
    ) -> None:
        """Store events and their copy in the mirror in one transaction, and renew the lease.

        After an error the log stays as it was: the driver has to stop, and a resume continues.

        Raises:
            StudyError: if the lease behind `token` is lost, or the database cannot be written.
        """
        rows = [{"study_id": study_id, **to_row(event)._asdict()} for event in events]
        with self.writing() as connection:
            if not renew_lease(connection, study_id, token, _now_ms()):
                raise StudyError(
                    f"another process has taken over the study in {self.where}: this one stops."
                )
            if rows:
                connection.execute(sa.insert(EVENTS), rows)
            if rows and mirror is not None:
                mirror.write(connection, events)
                mark_mirrored(connection, study_id, events[-1].seq)
        if rows and mirror is not None:
            mirror.committed()

    def settle(self) -> None:
        """Move SQLite's write-ahead log into the database file."""
        if self._path is not None:
            with explained(self.url), self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def _prepare(self) -> None:
        with (self.writing if self._writes else self.reading)() as connection:
            inspector = sa.inspect(connection)
            if inspector.has_table(_SCHEMA.name):
                version = connection.execute(sa.select(_SCHEMA.c.version)).scalar_one()
                if version > SCHEMA_VERSION:
                    raise StudyError(
                        f"{self.where} was written by a later version of hpo (schema {version},"
                        f" this one knows {SCHEMA_VERSION}): update hpo."
                    )
            elif self._writes:
                _METADATA.create_all(connection)
                connection.execute(sa.insert(_SCHEMA).values(version=SCHEMA_VERSION))
            else:
                raise NothingStoredError(
                    f"{self.where} holds no studies", "run `hpo search SPEC` first"
                )


def read_events(connection: sa.Connection, study_id: int, since: int = 0) -> list[Event]:
    """The log of a study after the event numbered `since`, as this transaction sees it."""
    columns = [EVENTS.c[name] for name in EventRow._fields]
    query = sa.select(*columns).where(EVENTS.c.study_id == study_id, EVENTS.c.seq > since)
    rows = connection.execute(query.order_by(EVENTS.c.seq)).all()
    # SQLAlchemy's rows have the fields of an `EventRow`, so they need no copy.
    return from_rows(cast("list[EventRow]", rows))


def mark_mirrored(connection: sa.Connection, study_id: int, seq: int) -> None:
    """Note that Optuna's tables are up to date with the log up to event `seq`."""
    by_id = STUDIES.c.id == study_id
    connection.execute(sa.update(STUDIES).where(by_id).values(mirrored_seq=seq))


def renew_lease(connection: sa.Connection, study_id: int, token: str, now_ms: int) -> bool:
    """Whether `token` still holds the study's lease; its heartbeat is then `now_ms`."""
    mine = (LEASES.c.study_id == study_id) & (LEASES.c.token == token)
    result = connection.execute(sa.update(LEASES).where(mine).values(heartbeat_ms=now_ms))
    return result.rowcount == 1


def document_hash(document: Mapping[str, Any]) -> str:
    """The SHA-256 of a spec as plain values; the order of its keys counts."""
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def _names(connection: sa.Connection) -> set[str]:
    names = set(connection.execute(sa.select(STUDIES.c.name)).scalars())
    if sa.inspect(connection).has_table("studies"):
        names.update(connection.execute(sa.select(_OPTUNA_STUDIES.c.study_name)).scalars())
    return names


def _record(row: sa.Row[Any]) -> StudyRecord:
    values = row._asdict()
    for name in ("document", "provenance"):
        values[name] = json.loads(values[name])
    return StudyRecord(**values)


def _now_ms() -> int:
    return int(time.time() * 1000)
