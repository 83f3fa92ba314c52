"""Damage to a study's rows is found, and named by its table and its event."""

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hpo.errors import DamagedError, StudyError
from hpo.study.log.events import StudyState, fold
from hpo.study.storage.database import parsed_url, shown
from hpo.study.storage.lease import acquire
from hpo.study.storage.tables import EVENTS, STUDIES, Storage
from hpo.trial import TrialState
from tests.checkout import ROOT


@pytest.fixture
def changed(url, storage, study, goal, life):
    """`changed(sql)` runs SQL on a stored study of 26 events, and gives how hpo reads it then."""
    state = StudyState(goal)
    with acquire(storage, study.id) as lease:
        for number in (0, 1):
            storage.append(study.id, life(state, number, TrialState.COMPLETE), lease.token)
    storage.close()

    def change(sql):
        with closing(sqlite3.connect(storage._path)) as connection, connection:
            connection.executescript(sql)
        with Storage.read(url) as reader:
            return reader.events(reader.study("digits").id)

    return change


def test_a_sound_log_is_read_whole(changed):
    assert [event.seq for event in changed("")] == list(range(1, 27))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "update hpo_events set value = replace(value, '0.', '0.1') where seq = 4",
            "hpo_events, event 4: its checksum does not match",
        ),
        (
            "update hpo_events set epoch = 2 where seq = 4",
            "hpo_events, event 4: its checksum does not match",
        ),
        (
            "update hpo_events set time_ms = time_ms + 1 where seq = 4",
            "hpo_events, event 4: its checksum does not match",
        ),
        (
            "update hpo_events set checksum = checksum + 1 where seq = 9",
            "hpo_events, event 9: its checksum does not match",
        ),
        (
            "update hpo_events set checksum = null where seq = 9",
            "hpo_events, event 9: its checksum is missing",
        ),
        ("delete from hpo_events where seq = 7", "hpo_events: event 7 is missing"),
        ("delete from hpo_events where seq > 20", "hpo_events: events 21 to 26 are missing"),
        ("delete from hpo_events", "hpo_events: events 1 to 26 are missing"),
        (
            "update hpo_events set value = x'00' where seq = 3",
            "hpo_events, event 3: its value cannot be \"b'\\\\x00'\"",
        ),
        (
            "update hpo_events set value = cast(x'61ff' as text) where seq = 3",
            "hpo_events, event 3: its text is not UTF-8",
        ),
        ("update hpo_events set trial = 'one' where seq = 3", "event 3: its trial cannot be 'one'"),
        (
            "update hpo_studies set document = replace(document, '9', '8')",
            "hpo_studies, study 'digits': its checksum does not match",
        ),
        ("update hpo_studies set seed = 8", "hpo_studies, study 'digits': its checksum does not"),
        ("update hpo_studies set name = 'digit'", "hpo_studies, study 'digit': its checksum does"),
        ("delete from hpo_studies", "hpo_studies: study number 1 is missing"),
        ("update hpo_schema set version = 1", "hpo_schema: it is not of version 1"),
        ("delete from hpo_schema", "hpo_schema: it does not hold one version"),
        ("drop table hpo_events", "it has no table hpo_events"),
        ("drop table hpo_schema", "it has no table hpo_schema"),
        ("alter table hpo_events rename column kind to sort", "no such column: hpo_events.kind"),
    ],
)
def test_damage_is_found_and_named(changed, url, sql, message):
    with pytest.raises(DamagedError) as error:
        changed(sql)

    assert str(error.value).startswith(f"{shown(parsed_url(url))} is damaged (")
    assert str(error.value).endswith("): put back a copy or give --storage another file.")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"accuracy": 0.5', "event 3: Expecting ',' delimiter"),
        ('{"accuracy": "much"}', "event 3: could not convert string to float: 'much'"),
        ('{"loss": 0.5}', "event 3: no 'accuracy'"),
        ("[1]", "event 3: 'list' object has no attribute 'items'"),
        ("[" * 99_999 + "]" * 99_999, "event 3: maximum recursion depth exceeded"),
        ("1" * 9_999, "event 3: Exceeds the limit (4300 digits)"),
    ],
)
def test_without_checksums_a_value_that_makes_no_sense_is_still_named(
    changed, url, goal, value, message
):
    order = f"update hpo_events set value = '{value}' where seq = 3"

    def read():
        return fold(changed(f"update hpo_events set checksum = null; {order}"), goal, "hpo.db")

    with pytest.raises(DamagedError) as error:
        read()

    assert message in str(error.value)


def test_a_study_is_not_created_over_the_log_of_a_study_that_is_missing(changed, url):
    with pytest.raises(DamagedError):
        changed("delete from hpo_studies")

    with (
        Storage.create(url) as storage,
        pytest.raises(DamagedError, match="study number 1 is missing"),
    ):
        storage.create_study("digits", {}, 0, {}, "")


def test_changes_by_hpo_itself_leave_a_study_sound(url, storage, study):
    storage.update_document(study.id, {"name": "digits", "train": {"epochs": 27}})
    storage.set_aside(study.id)

    with Storage.read(url) as reader:
        assert reader.study("digits-1").document["train"] == {"epochs": 27}


# The stored study of the first release, whose rows have no checksums.
FIRST = ROOT / "tests" / "stored" / "0.1.0" / "mixed.db.gz"


@pytest.fixture
def first(url, tmp_path):
    (tmp_path / "hpo.db").write_bytes(gzip.decompress(FIRST.read_bytes()))
    return url


def columns(url, table):
    with closing(sqlite3.connect(Path(url.removeprefix("sqlite:///")))) as connection:
        return [row[1] for row in connection.execute(f"pragma table_info({table.name})")]


def test_a_study_of_the_first_release_is_read_as_it_is(first):
    content = Path(first.removeprefix("sqlite:///")).read_bytes()

    with Storage.read(first) as storage:
        record = storage.study("mixed")
        assert len(storage.events(record.id)) == 367

    assert record.last_seq is None
    assert Path(first.removeprefix("sqlite:///")).read_bytes() == content


def test_a_study_of_the_first_release_gets_checksums_from_its_next_event_on(first, goal):
    with Storage.create(first) as storage:
        record = storage.study("mixed")
        known = storage.events(record.id)
        state = StudyState(goal, seq=len(known))
        event = state.record(known[0].what, None, 1_700_000_000_000)
        with acquire(storage, record.id) as lease:
            storage.append(record.id, [event], lease.token)

        assert storage.events(record.id) == [*known, event]
        assert storage.count_sealed(record.id) == 1
        assert storage.study("mixed").last_seq == 368
    assert columns(first, EVENTS)[-1] == columns(first, STUDIES)[-1] == "checksum"


def test_an_upgrade_that_is_killed_leaves_the_older_database(first, monkeypatch):
    class Killed(BaseException): ...

    altered = []

    def kill(self, connection):
        upgrade(self, _StopsAtTheSecond(connection))

    class _StopsAtTheSecond:
        def __init__(self, connection):
            self.dialect, self._connection = connection.dialect, connection

        def execute(self, statement):
            if altered:
                raise Killed
            altered.append(statement)
            return self._connection.execute(statement)

    upgrade = Storage._upgrade
    monkeypatch.setattr(Storage, "_upgrade", kill)
    with pytest.raises(Killed):
        Storage.create(first)
    assert len(altered) == 1
    assert "checksum" not in columns(first, EVENTS)
    assert "last_seq" not in columns(first, STUDIES)

    monkeypatch.undo()
    with Storage.create(first) as storage:
        assert len(storage.events(storage.study("mixed").id)) == 367


def test_an_older_hpo_refuses_an_upgraded_database_in_one_line(first, monkeypatch):
    Storage.create(first).close()
    monkeypatch.setattr("hpo.study.storage.tables.SCHEMA_VERSION", 1)

    with pytest.raises(StudyError, match=r"later version of hpo \(schema 2, this one knows 1\)"):
        Storage.read(first)
