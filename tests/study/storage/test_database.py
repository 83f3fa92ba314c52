"""The connection to a database: what it needs, and its errors in words."""

import os
import shutil
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from hpo.errors import DamagedError, StudyError
from hpo.study.storage.database import (
    TABLES,
    database_path,
    explained,
    is_same_database,
    parsed_url,
    shown,
)
from hpo.study.storage.tables import _METADATA, Storage
from tests.rights import run_without_rights


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hpo.db", "'hpo.db' is not a database URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///nowhere/hpo.db", "there is no folder"),
        ("sqlite:///folder", "cannot open folder: it is a folder: name a file in it."),
        ("sqlite:////", "cannot open /: it is a folder: name a file in it."),
        ("sqlite:///~nosuchuser/x", "~nosuchuser/x: no user is called 'nosuchuser': write the"),
        pytest.param(f"sqlite:///{'a' * 6_000}", "aaa...: its name is too long: give", id="long"),
        pytest.param(f"sqlite:///{'a/' * 3_000}b", "there is no folder ", id="deep"),
        ("", "storage: '' is not a database URL"),
        ("oracle9://x/y", "no driver for oracle9://x/y: use sqlite:///."),
        ("postgresql://x/y", "no driver for postgresql://x/y: pip install 'hpo-lanes[postgres]'."),
        ("sqlite:///text.db", "text.db is not a SQLite database"),
    ],
)
def test_an_unusable_storage_is_refused_in_one_line(tmp_path, monkeypatch, url, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_text("not a database, " * 100)
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as where it is not installed

    with pytest.raises(StudyError) as error:
        Storage.create(url)

    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_an_error_of_sqlite_itself_is_explained_like_one_of_sqlalchemy():
    url = parsed_url("sqlite:///hpo.db")

    damaged = r"hpo\.db is damaged \(database disk image is malformed\)"
    with pytest.raises(DamagedError, match=damaged), explained(url):
        raise sqlite3.DatabaseError("database disk image is malformed")
    with pytest.raises(StudyError, match=r"hpo\.db is locked by another"), explained(url):
        raise sqlite3.OperationalError("database is locked")
    with pytest.raises(sqlite3.ProgrammingError), explained(url):
        raise sqlite3.ProgrammingError("Cannot operate on a closed database.")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////", "cannot open /: it is a folder: name a file in it."),
        ("sqlite:///~nosuchuser/x", "~nosuchuser/x: no user is called 'nosuchuser': write the"),
        pytest.param(f"sqlite:///{'a' * 6_000}", "no study database at aaa", id="long"),
    ],
)
def test_an_odd_path_is_refused_to_a_reader_in_one_line(url, message):
    with pytest.raises(StudyError) as error:
        Storage.read(url)

    assert message in str(error.value)
    assert len(str(error.value)) < 400


def test_a_reader_waits_for_another_program_that_has_locked_the_database(url, storage, study):
    storage.close()
    other = sqlite3.connect(storage._path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    other.execute("UPDATE hpo_studies SET mirrored_seq = 0")
    leave = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    leave.start()

    with Storage.read(url) as reader:
        assert reader.study("digits") == study

    leave.join()
    other.close()


def test_a_reader_does_not_read_a_locked_database_without_regard_to_the_lock(
    url, storage, study, monkeypatch
):
    monkeypatch.setattr("hpo.study.storage.database.BUSY_SECONDS", 0.05)
    storage.close()
    other = sqlite3.connect(storage._path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StudyError, match=r"is locked by another program: close that and try again"):
        Storage.read(url)

    other.close()


def test_a_database_locked_by_another_program_says_so(url, storage, study, monkeypatch):
    monkeypatch.setattr("hpo.study.storage.database.BUSY_SECONDS", 0.05)
    storage.close()
    other = sqlite3.connect(storage._path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StudyError, match="locked by another program"):
        Storage.create(url)

    other.close()


def test_a_closed_database_is_one_file_that_reads_anywhere(url, storage, study, tmp_path):
    storage.close()
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / "hpo.db", copy)

    assert [file.name for file in tmp_path.glob("hpo.db*")] == ["hpo.db"]
    assert _studies_read_without_rights(copy) == "('digits',)"


def test_a_copy_of_a_database_in_use_reads_in_a_read_only_folder(storage, study, tmp_path):
    connection = sqlite3.connect(storage._path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / "hpo.db", copy)  # in WAL mode, without its WAL

    assert _studies_read_without_rights(copy) == "('digits',)"


@pytest.mark.parametrize("place", ["closed/hpo.db", "closed/deep/hpo.db"])
def test_a_folder_that_may_not_be_entered_is_refused_to_a_driver(tmp_path, place):
    (tmp_path / "closed" / "deep").mkdir(parents=True)
    (tmp_path / "closed").chmod(0)

    said = _run_without_rights(tmp_path, f"Storage.create('sqlite:///{place}')")

    (tmp_path / "closed").chmod(0o755)
    assert said.startswith(f"cannot open {place}: ")
    assert said.endswith(" may not be entered: change its permissions.")


def test_a_read_only_folder_is_refused_to_a_driver(storage, study, tmp_path):
    storage.close()

    assert "read-only" in _run_without_rights(tmp_path, "Storage.create('sqlite:///hpo.db')")


def _studies_read_without_rights(folder):
    return _run_without_rights(
        folder,
        "s = Storage.read('sqlite:///hpo.db');"
        " print(tuple(study.name for study in s.studies())); s.close()",
    )


def _run_without_rights(folder, code):
    """What `code` prints, or its error, where the folder cannot be written, not even by root."""
    imports = (
        "from hpo.errors import StudyError\n"
        "from hpo.study.storage.tables import Storage\n"
        "import hpo.study.log.events, sqlalchemy.dialects.sqlite.pysqlite"
    )
    folder.chmod(0o555)
    guarded = f"try:\n {code}\nexcept StudyError as error: print(error)"
    output = run_without_rights(folder, imports, guarded)
    folder.chmod(0o755)
    assert output.returncode == 0, output.stderr
    return output.stdout.strip()


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("postgresql://a:b@host/hpo", "postgresql+psycopg://c@host/hpo", True),
        ("postgresql://a:b@host/hpo", "postgresql://a:b@host/others", False),
        ("postgresql://a:b@host/hpo", "sqlite:///hpo", False),
    ],
)
def test_a_database_is_known_by_its_place(one, other, is_same):
    assert is_same_database(parsed_url(one), parsed_url(other)) == is_same


def altered(storage, *orders):
    """The database with these statements run on it, by something other than hpo."""
    storage.close()
    connection = sqlite3.connect(storage._path, isolation_level=None)
    for order in orders:
        connection.execute(order)
    connection.close()


@pytest.mark.parametrize(
    "table", ["hpo_schema", "hpo_studies", "hpo_events", "hpo_leases", "trials"]
)
@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW {0} AS WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i FROM n)"
        " SELECT * FROM n",  # without an end
        "CREATE VIRTUAL TABLE {0} USING fts4(a)",
    ],
)
def test_a_view_in_place_of_a_table_is_refused(url, storage, study, table, made):
    altered(storage, f"DROP TABLE IF EXISTS {table}", made.format(table))

    for opened in (Storage.read, Storage.create):
        with pytest.raises(
            StudyError, match=rf"hpo\.db: {table} is a view, where hpo keeps a table"
        ):
            opened(url)


def test_a_trigger_that_would_run_when_hpo_writes_is_refused(url, storage, study):
    altered(
        storage,
        "CREATE TRIGGER later AFTER INSERT ON hpo_events BEGIN DELETE FROM hpo_studies; END",
    )

    for opened in (Storage.read, Storage.create):
        with pytest.raises(
            StudyError, match=r"hpo\.db: has a trigger, which would run when hpo wr"
        ):
            opened(url)


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_a_pipe_beside_a_database_is_not_waited_for(url, storage, study, suffix):
    storage.close()
    beside = Path(f"{database_path(url)}{suffix}")
    beside.unlink(missing_ok=True)
    os.mkfifo(beside)

    for opened in (Storage.read, Storage.create):
        with (
            pytest.raises(StudyError, match=f"{suffix} beside the database is no file"),
            opened(url) as database,
        ):
            database.studies()


def test_a_view_of_the_users_own_is_left_alone(url, storage, study):
    altered(storage, "CREATE VIEW mine AS SELECT name FROM hpo_studies")

    with Storage.read(url) as opened:
        assert [study.name for study in opened.studies()] == ["digits"]


def test_every_table_that_hpo_or_optuna_uses_is_guarded():
    from optuna.storages._rdb import models

    assert {*_METADATA.tables, *models.BaseModel.metadata.tables, "alembic_version"} == {*TABLES}


def test_no_message_about_a_url_holds_its_password():
    with pytest.raises(StudyError, match=r"'postgresql://me@host:port/db' is not a database URL"):
        parsed_url("postgresql://me:secret@host:port/db")
    assert (
        shown(parsed_url("postgresql://me:secret@host/db?password=secret"))
        == "postgresql://me@host/db"
    )
