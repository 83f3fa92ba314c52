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
from hpo.errors import MOST_MISTAKES, DamagedError, StudyError, cut
from hpo.study.log.event_rows import EventRow, checksum, from_rows, to_row
from hpo.study.log.events import Event
from hpo.study.storage.database import database_path, engine_for, explained, parsed_url, shown, tidy
from hpo.study.storage.rows import check_log, read_rows, study_checksum, unsealed

# Version 2 added checksums, and the last event of each study.
SCHEMA_VERSION = 2

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
    # The last event of the log, by which a missing end is found; empty until this version adds one.
    sa.Column("last_seq", sa.Integer),
    sa.Column("checksum", sa.BigInteger),
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
    sa.Column("checksum", sa.BigInteger),
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
_ADDED = (STUDIES.c.last_seq, STUDIES.c.checksum, EVENTS.c.checksum)
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
    """A study as the database `where` holds it, without its log.

    `document` is its spec as plain values. `last_seq` numbers its last event, where known.
    """

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
    last_seq: int | None
    where: str


class Storage:
    """An open database of studies. Once it is closed, the .db file alone holds everything."""

    def __init__(self, url: sa.URL, engine: sa.Engine, *, writes: bool) -> None:
        self.url = url
        self._engine = engine
        self._writing_engine = engine.execution_options(hpo_writes=True)
        self._writes = writes
        self._path = database_path(url)
        self.where = shown(url)
        self._version = SCHEMA_VERSION

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
        """All studies, oldest first.

        Raises:
            DamagedError: for a study that is not as it was stored, or a log without its study.
        """
        with self.reading() as connection:
            rows = self._rows(connection, STUDIES)
            self._require_studies(connection, {row.id for row in rows})
        return tuple(self._record(row) for row in rows)

    def find(self, name: str) -> StudyRecord | None:
        """The study with this name, or None."""
        with self.reading() as connection:
            rows = self._rows(connection, STUDIES, STUDIES.c.name == name)
        return self._record(rows[0]) if rows else None

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
        hint = f" Did you mean '{cut(close[0])}'?" if close else ""
        raise StudyError(
            f"{self.where} has no study '{cut(name)}'.{hint} Its studies: {_listed(sorted(names))}."
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
            "last_seq": 0,
        }
        with self.writing() as connection:
            self._require_studies(connection, set(connection.scalars(sa.select(STUDIES.c.id))))
            if name in _names(connection):
                raise StudyError(
                    f"{self.where} already holds a study '{name}': give yours another name."
                )
            values["checksum"] = study_checksum(values)
            connection.execute(sa.insert(STUDIES).values(values))
            (row,) = self._rows(connection, STUDIES, STUDIES.c.name == name)
        return self._record(row)

    def update_document(self, study_id: int, document: Mapping[str, Any]) -> None:
        """Replace the spec of a study, after a harmless change."""
        values = {"document": json.dumps(document), "document_hash": document_hash(document)}
        with self.writing() as connection:
            self._change(connection, study_id, values)

    def set_aside(self, study_id: int) -> str:
        """Rename a study to the first free name of name-1, name-2, ..., in Optuna's table too."""
        with self.writing() as connection:
            old = connection.execute(
                sa.select(STUDIES.c.name).where(STUDIES.c.id == study_id)
            ).scalar_one()
            taken = _names(connection)
            new = next(f"{old}-{n}" for n in range(1, len(taken) + 2) if f"{old}-{n}" not in taken)
            self._change(connection, study_id, {"name": new})
            if sa.inspect(connection).has_table("studies"):
                connection.execute(
                    sa.update(_OPTUNA_STUDIES)
                    .where(_OPTUNA_STUDIES.c.study_name == old)
                    .values(study_name=new)
                )
        return new

    def events(self, study_id: int, since: int = 0) -> list[Event]:
        """The log of a study after the event numbered `since`.

        Raises:
            DamagedError: for a log that is not as it was stored.
        """
        ours = (EVENTS.c.study_id == study_id) & (EVENTS.c.seq > since)
        with self.reading() as connection:
            # Read first: on PostgreSQL another process may add events between two queries.
            by_id = STUDIES.c.id == study_id
            last = self._rows(connection, STUDIES, by_id, [STUDIES.c.last_seq])
            columns = [EVENTS.c[name] for name in EventRow._fields]
            found = self._rows(connection, EVENTS, ours, columns, first=since + 1)
        # SQLAlchemy's rows have the fields of an `EventRow`, so they need no copy.
        rows = cast("Sequence[EventRow]", found)
        check_log(study_id, rows, since, last[0].last_seq if last else None, self.where)
        return from_rows(rows, self.where)

    def count_sealed(self, study_id: int) -> int:
        """How many events of a study have a checksum."""
        if self._version == 1:
            return 0
        count = sa.select(sa.func.count(EVENTS.c.checksum)).where(EVENTS.c.study_id == study_id)
        with self.reading() as connection:
            return int(connection.execute(count).scalar_one())

    def append(
        self, study_id: int, events: Sequence[Event], token: str, mirror: Mirror | None = None
    ) -> None:
        """Store events and their copy in the mirror in one transaction, and renew the lease.

        After an error the log stays as it was: the driver has to stop, and a resume continues.

        Raises:
            StudyError: if the lease behind `token` is lost, or the database cannot be written.
        """
        rows = [_values(study_id, to_row(event)) for event in events]
        with self.writing() as connection:
            if not renew_lease(connection, study_id, token, _now_ms()):
                raise StudyError(
                    f"another process has taken over the study in {self.where}: this one stops."
                )
            if rows:
                connection.execute(sa.insert(EVENTS), rows)
                seqs = {"last_seq": events[-1].seq}
                if mirror is not None:
                    mirror.write(connection, events)
                    seqs["mirrored_seq"] = events[-1].seq
                by_id = STUDIES.c.id == study_id
                connection.execute(sa.update(STUDIES).where(by_id).values(seqs))
        if rows and mirror is not None:
            mirror.committed()

    def settle(self) -> None:
        """Move SQLite's write-ahead log into the database file."""
        if self._path is not None:
            with explained(self.url), self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def _prepare(self) -> None:
        with (self.writing if self._writes else self.reading)() as connection:
            names = set(sa.inspect(connection).get_table_names())
            missing = [table.name for table in _METADATA.sorted_tables if table.name not in names]
            if len(missing) < len(_METADATA.tables):
                if missing:
                    raise DamagedError(self.where, f"it has no table {', '.join(missing)}")
                self._version = self._stored_version(connection)
                if self._writes and self._version < SCHEMA_VERSION:
                    self._upgrade(connection)
            elif self._writes:
                _METADATA.create_all(connection)
                connection.execute(sa.insert(_SCHEMA).values(version=SCHEMA_VERSION))
            else:
                raise NothingStoredError(
                    f"{self.where} holds no studies", "run `hpo search SPEC` first"
                )

    def _stored_version(self, connection: sa.Connection) -> int:
        versions = connection.execute(sa.select(_SCHEMA.c.version)).scalars().all()
        version = versions[0] if len(versions) == 1 else None
        if not isinstance(version, int) or version < 1:
            raise DamagedError(self.where, "hpo_schema: it does not hold one version")
        if version > SCHEMA_VERSION:
            raise StudyError(
                f"{self.where} was written by a later version of hpo (schema {version},"
                f" this one knows {SCHEMA_VERSION}): update hpo."
            )
        columns = {column["name"] for column in sa.inspect(connection).get_columns(EVENTS.name)}
        if (version > 1) != ("checksum" in columns):
            raise DamagedError(self.where, f"hpo_schema: it is not of version {version}")
        return version

    def _upgrade(self, connection: sa.Connection) -> None:
        """Add the columns that this version needs, in one transaction with the new version."""
        for column in _ADDED:
            kind = column.type.compile(connection.dialect)
            connection.execute(sa.text(f"ALTER TABLE {column.table.name} ADD {column.name} {kind}"))
        connection.execute(sa.update(_SCHEMA).values(version=SCHEMA_VERSION))
        self._version = SCHEMA_VERSION

    def _rows(
        self,
        connection: sa.Connection,
        table: sa.Table,
        condition: sa.ColumnElement[bool] | None = None,
        columns: Sequence[sa.Column[Any]] = (),
        first: int = 1,
    ) -> Sequence[sa.Row[Any]]:
        """Rows of a table, by its key; columns that the database does not have yet are empty."""
        chosen = [
            sa.null().label(column.name) if column in _ADDED and self._version == 1 else column
            for column in columns or table.columns
        ]
        query = sa.select(*chosen).select_from(table).order_by(*table.primary_key.columns)
        query = query if condition is None else query.where(condition)
        return read_rows(connection, query, table, self.where, first)

    def _record(self, row: sa.Row[Any]) -> StudyRecord:
        return StudyRecord(**unsealed(row, self.where), where=self.where)

    def _change(self, connection: sa.Connection, study_id: int, values: Mapping[str, Any]) -> None:
        """Change columns of a study, and its checksum with them."""
        (row,) = self._rows(connection, STUDIES, STUDIES.c.id == study_id)
        unsealed(row, self.where)
        sealed = study_checksum({**row._asdict(), **values})
        changed = sa.update(STUDIES).where(STUDIES.c.id == study_id)
        connection.execute(changed.values(**values, checksum=sealed))

    def _require_studies(self, connection: sa.Connection, known: set[int]) -> None:
        """Refuse a database in which the study of a log is missing."""
        study_id: int | None = 0
        # From one study to the next by the index: a log may have a million events.
        while study_id is not None:
            later = sa.select(sa.func.min(EVENTS.c.study_id)).where(EVENTS.c.study_id > study_id)
            study_id = connection.execute(later).scalar()
            if study_id is not None and study_id not in known:
                raise DamagedError(self.where, f"hpo_studies: study number {study_id} is missing")


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


def _values(study_id: int, row: EventRow) -> dict[str, Any]:
    return {"study_id": study_id, **row._asdict(), "checksum": checksum(study_id, row)}


def _now_ms() -> int:
    return int(time.time() * 1000)


def _listed(names: Sequence[str]) -> str:
    """The first names of studies for a message, and how many more there are."""
    more = f" and {len(names) - MOST_MISTAKES:,} more" if len(names) > MOST_MISTAKES else ""
    return ", ".join(map(cut, names[:MOST_MISTAKES])) + more
