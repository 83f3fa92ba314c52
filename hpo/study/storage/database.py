"""The connection to a study's database, and its errors in words.

A SQLite file is written in WAL mode and left in rollback mode. So the .db file of a study at rest
is complete and can be read anywhere, from a read-only folder too.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from hpo.errors import DamagedError, StudyError, cut
from hpo.spec.file.passwords import without_password
from hpo.study.log.damage import said

BUSY_SECONDS = 10.0
_MOST_CHARACTERS = 80
_LONGEST_NAME = 255  # bytes, in nearly every file system
# The tables that hpo reads or writes: its own and Optuna's.
TABLES = (
    "hpo_schema",
    "hpo_studies",
    "hpo_events",
    "hpo_leases",
    "alembic_version",
    "studies",
    "study_directions",
    "study_system_attributes",
    "study_user_attributes",
    "trial_heartbeats",
    "trial_intermediate_values",
    "trial_params",
    "trial_system_attributes",
    "trial_user_attributes",
    "trial_values",
    "trials",
    "version_info",
)


def database_path(url: sa.URL | str) -> Path | None:
    """The file of a SQLite database, or None for a database server."""
    url = parsed_url(url) if isinstance(url, str) else url
    if url.get_backend_name() != "sqlite":
        return None
    try:
        return Path.cwd() / Path(url.database or "").expanduser()
    except RuntimeError as error:
        user = str(url.database).partition("/")[0]
        raise StudyError(
            f"storage: {shown(url)}: no user is called {user[1:]!r}: write the whole path."
        ) from error


def is_same_database(one: sa.URL, other: sa.URL) -> bool:
    """Whether two URLs lead to the same database; user and driver do not matter."""
    return _place(one) == _place(other)


def parsed_url(url: str) -> sa.URL:
    """A database URL in its parts.

    Raises:
        StudyError: for text that is not a database URL, or one that names no file.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # the latter for a port that is no number
        raise StudyError(
            f"storage: '{_cut(without_password(url))}' is not a database URL: write one such as "
            "sqlite:///hpo.db."
        ) from None
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StudyError(f"storage: '{url}' names no file: write one such as sqlite:///hpo.db.")
    return parsed


def shown(url: sa.URL) -> str:
    """A database as messages name it: a file's path, or a server's URL without its password."""
    if url.get_backend_name() == "sqlite":
        return _cut(str(url.database))
    return without_password(url.render_as_string(hide_password=False))


def _place(url: sa.URL) -> tuple[object, ...]:
    path = database_path(url)
    if path is not None:
        return (path.resolve(),)
    return (url.get_backend_name(), url.host, url.port, url.database)


def engine_for(url: sa.URL, *, writes: bool) -> sa.Engine:
    """An engine; its connections with the option `hpo_writes` lock out other writers (SQLite)."""
    path = database_path(url)
    try:
        if path is None:
            return sa.create_engine(url)
        connect = _sqlite_writer if writes else _sqlite_reader
        engine = sa.create_engine(url, creator=lambda: connect(_with_files(path)))
    except (ModuleNotFoundError, sa.exc.NoSuchModuleError) as error:
        is_postgres = "postgres" in url.drivername
        cure = "pip install 'hpo-lanes[postgres]'" if is_postgres else "use sqlite:///"
        raise StudyError(f"storage: no driver for {shown(url)}: {cure}.") from error

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: object) -> None:
        with ExitStack() as undo:
            undo.callback(connection.close)
            _distrust(connection, shown(url))
            undo.pop_all()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get("hpo_writes")
        # Takes the write lock at once, because a reader cannot become a writer later.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


@contextmanager
def explained(url: sa.URL) -> Iterator[None]:
    """Turn database errors that a user can fix into a `StudyError`."""
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        # SQLAlchemy passes on what its listeners raise as it is.
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        text = str(cause).strip().split("\n")[0]
        if (message := _message(url, text, error)) is not None:
            raise StudyError(message) from error
        if not _is_damage(url, text, error):
            raise
        raise DamagedError(shown(url), said(text)) from error
    except UnicodeDecodeError as error:  # in a name of SQLite's own, which a message repeats
        raise DamagedError(shown(url), "its text is not UTF-8") from error


def tidy(path: Path) -> None:
    """Move the WAL of a SQLite file into the file, unless other processes use it."""
    if not os.path.isfile(path):  # noqa: PTH113 - it never raises
        return
    with (
        suppress(sqlite3.Error, StudyError),
        closing(sqlite3.connect(_with_files(path), timeout=0, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")


def _with_files(path: Path) -> Path:
    """The path, unless what lies beside the database is no file: SQLite would wait for a pipe.

    Raises:
        StudyError: for a pipe, folder or device.
    """
    for suffix in ("-journal", "-wal", "-shm"):
        beside = Path(f"{path}{suffix}")
        if os.path.exists(beside) and not os.path.isfile(beside):  # noqa: PTH110, PTH113
            raise StudyError(
                f"storage: {_cut(beside.name)} beside the database is no file: move it out of "
                "SQLite's way."
            )
    return path


def _sqlite_writer(path: Path) -> sqlite3.Connection:
    # The driver starts no transactions itself: the engine's "begin" says which kind it wants.
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    deadline = time.monotonic() + BUSY_SECONDS
    with ExitStack() as undo:
        undo.callback(connection.close)
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:
                # SQLite does not wait when two connections change the mode at once.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        connection.execute("PRAGMA synchronous=NORMAL")
        undo.pop_all()
    return connection


def _sqlite_reader(path: Path) -> sqlite3.Connection:
    def connect(mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{path.as_uri()}?{mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    connection = connect("mode=rw")
    try:
        connection.execute("PRAGMA schema_version")
    except sqlite3.OperationalError as error:
        connection.close()
        # A copy of a database in use, in a folder where SQLite cannot create files. A file that is
        # locked, or has a journal, is another matter: it must not be read without regard to that.
        cannot_open = error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY"))
        if not cannot_open or any(map(os.path.exists, (f"{path}-wal", f"{path}-journal"))):
            raise
        connection = connect("immutable=1")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    connection.execute("PRAGMA query_only=ON")
    return connection


def _distrust(connection: sqlite3.Connection, where: str) -> None:
    """Refuse a file in which SQLite would run code of another person's.

    Raises:
        StudyError: for a trigger, or a view in place of a table.
    """
    connection.execute("PRAGMA trusted_schema=OFF")
    names = ", ".join(f"'{name}'" for name in TABLES)
    # Views and virtual tables have no pages of their own.
    query = f"""
        SELECT type, name FROM sqlite_master
        WHERE type = 'trigger' OR (coalesce(rootpage, 0) = 0 AND lower(name) IN ({names}))
        """
    found = connection.execute(query).fetchone()
    if found is not None and found[0] == "trigger":
        raise StudyError(
            f"{where}: has a trigger, which would run when hpo writes: drop it, or use another "
            "database."
        )
    if found is not None:
        raise StudyError(
            f"{where}: {found[1]} is a view, where hpo keeps a table: use another database."
        )


def _message(url: sa.URL, text: str, error: Exception) -> str | None:
    """What keeps a database from being used, and what to do; None for its content."""
    where, path = shown(url), database_path(url)
    if path is None:
        is_ours = "does not exist" in text or not isinstance(error, sa.exc.OperationalError)
        return None if is_ours else f"cannot use {where}: {text}: check the server and the URL."
    if "unable to open" in text:
        # Not the methods of `Path`, which raise for names that are too long.
        folder, name = _cut(str(path.parent)), _cut(path.name)
        if os.path.isdir(path):  # noqa: PTH112
            return f"cannot open {where}: it is a folder: name a file in it."
        if _is_closed(path.parent):
            return f"cannot open {where}: {folder} may not be entered: change its permissions."
        if not os.path.isdir(path.parent):  # noqa: PTH112
            return f"cannot open {where}: there is no folder {folder}: make it first."
        if len(os.fsencode(path.name)) > _LONGEST_NAME:
            return f"cannot open {where}: its name is too long: give --storage a shorter one."
        return f"cannot open {where}: {folder} is read-only, or {name} is not yours to read."
    causes = {
        "not a database": f"{where} is not a SQLite database: give --storage another file.",
        "locked": f"{where} is locked by another program: close that and try again.",
        "readonly": f"{where} is read-only: change its permissions or give --storage another file.",
        "is full": f"no space left to write {where}: free some and run again; nothing is lost.",
        "disk I/O": f"cannot read or write {where} ({text}): check the disk.",
    }
    return next((cause for mark, cause in causes.items() if mark in text), None)


def _is_damage(url: sa.URL, text: str, error: Exception) -> bool:
    """Whether the content of a database is at fault, and not the statement that met it."""
    if database_path(url) is None:
        return "does not exist" in text
    ours = sa.exc.ProgrammingError | sa.exc.NotSupportedError | sqlite3.ProgrammingError
    return isinstance(error, sa.exc.DatabaseError | sqlite3.DatabaseError) and not isinstance(
        error, ours
    )


def _is_closed(folder: Path) -> bool:
    try:
        folder.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(folder, os.X_OK)


def _cut(text: str) -> str:
    """Text that is short enough for a message."""
    return cut(text, _MOST_CHARACTERS)
