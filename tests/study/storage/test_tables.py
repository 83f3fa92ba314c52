import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.study.log.events import Start, Stop, StudyState
from hpo.study.storage.lease import acquire
from hpo.study.storage.tables import Storage
from hpo.trial import TrialState
from tests.study.conftest import optuna_storage


def test_a_study_is_read_as_it_was_stored(url, storage, study):
    with Storage.read(url) as reader:
        assert reader.study("digits") == study
        assert reader.studies() == (study,)
    assert study.document == {"name": "digits", "train": {"epochs": 9}}
    assert (study.seed, study.data_fingerprint) == (7, "data-1")


def test_the_log_is_read_as_it_was_appended(storage, study, goal, life):
    state = StudyState(goal)
    first, second = life(state, 0, TrialState.COMPLETE), life(state, 1, TrialState.PRUNED)

    with acquire(storage, study.id) as lease:
        storage.append(study.id, first, lease.token)
        storage.append(study.id, second, lease.token)

    assert storage.events(study.id) == first + second
    assert storage.events(study.id, since=first[-1].seq) == second


def test_an_append_is_stored_whole_or_not_at_all(storage, study, goal, life):
    class BrokenMirror:
        def write(self, connection, events):
            raise RuntimeError("mirror")

        def committed(self): ...

    events = life(StudyState(goal), 0, TrialState.COMPLETE)
    with acquire(storage, study.id) as lease:
        with pytest.raises(RuntimeError, match="mirror"):
            storage.append(study.id, events, lease.token, BrokenMirror())

        assert storage.events(study.id) == []


def test_two_studies_in_one_database_keep_their_logs_apart(storage, study, goal):
    other = storage.create_study("iris", {}, 0, {}, "data-2")
    event = StudyState(goal).record(Stop("finished"), None, 0)

    with acquire(storage, study.id) as lease, acquire(storage, other.id):
        storage.append(study.id, [event], lease.token)

    assert storage.events(other.id) == []


def test_a_study_set_aside_keeps_its_log_under_another_name(storage, study, goal):
    event = StudyState(goal).record(Start({}), None, 0)
    with acquire(storage, study.id) as lease:
        storage.append(study.id, [event], lease.token)

    assert storage.set_aside(study.id) == "digits-1"
    again = storage.create_study("digits", {}, 0, {}, "data-1")
    assert storage.set_aside(again.id) == "digits-2"
    assert storage.events(storage.study("digits-1").id) == [event]


def test_a_document_can_be_replaced_and_its_hash_with_it(storage, study):
    storage.update_document(study.id, {"train": {"epochs": 9}, "name": "digits"})

    changed = storage.study("digits")
    assert list(changed.document) == ["train", "name"]
    assert changed.document_hash != study.document_hash


def test_a_name_is_taken_by_studies_of_hpo_and_of_optuna(url, storage, study):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(study_name="mine", storage=optuna_storage(url))

    for name in ("digits", "mine"):
        with pytest.raises(StudyError, match=f"already holds a study '{name}'"):
            storage.create_study(name, {}, 0, {}, "")


def test_an_unknown_study_is_answered_with_the_nearest_name(storage, study):
    storage.create_study("iris", {}, 0, {}, "")

    with pytest.raises(StudyError) as error:
        storage.study("digit")

    assert str(error.value).endswith(
        "has no study 'digit'. Did you mean 'digits'? Its studies: digits, iris."
    )


def test_a_driver_creates_a_missing_database_and_a_reader_refuses_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(StudyError) as error:
        Storage.read("sqlite:///hpo.db")
    assert str(error.value) == (
        "no study database at hpo.db: run `hpo search SPEC` first or give --storage."
    )
    assert not Path("hpo.db").exists()

    Storage.create("sqlite:///hpo.db").close()
    with Storage.read("sqlite:///hpo.db") as reader:
        assert reader.studies() == ()
        with pytest.raises(StudyError, match=r"hpo\.db holds no studies"):
            reader.study("digits")


def test_a_database_without_studies_of_hpo_is_refused_to_a_reader(tmp_path):
    (tmp_path / "empty.db").touch()

    with pytest.raises(StudyError, match="holds no studies"):
        Storage.read(f"sqlite:///{tmp_path}/empty.db")


def test_a_database_of_a_later_version_asks_for_an_update(url, storage, study):
    storage.close()
    connection = sqlite3.connect(storage._path)
    connection.execute("update hpo_schema set version = 99")
    connection.commit()
    connection.close()

    for opening in (Storage.create, Storage.read):
        with pytest.raises(StudyError, match=r"later version of hpo \(schema 99.*: update hpo"):
            opening(url)


def test_a_reader_sees_the_log_of_a_driver_at_work(url, storage, study, goal):
    with acquire(storage, study.id) as lease, Storage.read(url) as reader:
        event = StudyState(goal).record(Start({}), None, 0)
        storage.append(study.id, [event], lease.token)

        assert reader.events(study.id) == [event]


def test_opening_a_storage_does_not_import_optuna(url):
    code = (
        "import sys; from hpo.study.storage.tables import Storage; import hpo.study.storage.lease;"
        f" Storage.create({url!r}).close(); print('optuna' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert output.stdout == "False\n", output.stderr


def test_a_message_names_the_first_twenty_studies_each_cut_short(storage):
    for number in range(25):
        storage.create_study(f"{number:02}-{'x' * 400}", {}, 0, {}, "")
    with pytest.raises(StudyError, match=r"Its studies: 00-x.* and 5 more\.") as error:
        storage.study("y" * 5_000)
    assert len(str(error.value)) < 20 * 64 + 200
