"""`hpo check-study` reads everything that the files of a study hold."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.spec.load import experiment_from_document
from hpo.study.log.events import Checkpoint, StudyState
from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.study.storage.lease import acquire
from hpo.study.storage.optuna_tables import open_mirror
from hpo.study.storage.tables import Storage
from hpo.study.storage.verify import check_study
from hpo.trial import Run, TrialState

SPEC = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd"},
    "train": {"epochs": 9},
    "space": {
        "optimizer.learning_rate": {"float": [1e-4, 1e-1], "log": True},
        "model.dropout": {"float": [0.0, 0.5], "step": 0.2},
        "data.batch_size": {"int": [16, 100], "step": 16},
        "model.activation": {"choice": ["relu", "gelu"]},
        "model.widths": {"choice": [[64], [128, 128]]},
    },
    "search": {"objective": {"maximize": "accuracy"}, "trials": 27},
}


@pytest.fixture
def space():
    return experiment_from_document(SPEC, Path()).space


@pytest.fixture
def saved(url, storage, life, goal, space):
    """The URL of a study with trials of every kind, its copy in Optuna's tables, a checkpoint."""
    import numpy as np

    provenance = {"versions": {}, "device": "cpu"}
    record = storage.create_study("digits", SPEC, 7, provenance, "data-1")
    state = StudyState(goal)
    folder = CheckpointFolder.beside(url, "digits")
    ends = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.DIVERGED, None]
    with acquire(storage, record.id) as lease:
        mirror = None
        for number, end in enumerate(ends):
            log = life(state, number, end)
            if end is None:
                name, sha256 = folder.save(Run(number), 3, {"w": np.arange(4.0)})
                log.append(
                    state.record(Checkpoint(3, name, sha256, Run(number)), number, log[-1].time_ms)
                )
            storage.append(record.id, log, lease.token, mirror)
            if mirror is None:
                mirror = open_mirror(storage, record, space, state)
    storage.close()
    return url


def parts(url):
    with Storage.read(url) as storage:
        found = check_study(storage, "digits")
    return {part.name: part.damage or part.checked for part in found.parts}, found.damage


def change(url, sql):
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.executescript(sql)


def test_a_sound_study_is_checked_whole(saved):
    found, damage = parts(saved)

    assert damage is None
    assert list(found) == ["file", "study", "events", "Optuna's tables", "checkpoints"]
    assert found["file"].endswith("pages, by SQLite's own check")
    assert found["events"] == "33 events, replayed"
    assert found["Optuna's tables"].endswith("rows, the same as in the log")
    assert found["checkpoints"] == "1 file read"


@pytest.mark.parametrize(
    ("sql", "part", "message"),
    [
        (
            "update hpo_events set epoch = 2 where seq = 4",
            "events",
            "hpo_events, event 4: its checksum does not match",
        ),
        ("update hpo_studies set seed = 1", "study", "study 'digits': its checksum does not match"),
        ("update hpo_studies set mirrored_seq = 99", "Optuna's tables", "it has no event 99"),
        (
            "update trial_values set value = value + 0.01",
            "Optuna's tables",
            "trial_values, trial 0: it is not as the log has it",
        ),
        (
            "delete from trial_intermediate_values where step = 2",
            "Optuna's tables",
            "trial_intermediate_values, trial 0: it is not as the log has it",
        ),
        ("update trials set state = 'LOST'", "Optuna's tables", "'LOST' is not among the defined"),
        ("drop table trial_params", "Optuna's tables", "no such table: trial_params"),
        (
            "pragma writable_schema = on;"
            " delete from sqlite_master where name = 'ix_trials_study_id'",
            "file",
            "Page",
        ),
    ],
)
def test_damage_is_found_in_its_part(saved, sql, part, message):
    change(saved, sql)

    found, damage = parts(saved)

    assert message in found[part]
    assert message in damage


def test_a_missing_checkpoint_is_counted_and_a_changed_one_is_damage(saved):
    folder = CheckpointFolder.beside(saved, "digits").path
    (file,) = folder.iterdir()
    content = file.read_bytes()

    file.write_bytes(content[:-1] + b"\0\0")
    assert parts(saved)[1] == f"checkpoint {file.name}: its content has changed"

    file.unlink()
    found, damage = parts(saved)
    assert damage is None
    assert (
        found["checkpoints"]
        == "0 files read; 1 cannot be read, whose trials train again from the start"
    )


def test_a_study_that_is_not_there_is_not_damaged(saved):
    with Storage.read(saved) as storage, pytest.raises(StudyError, match="has no study 'digit'"):
        check_study(storage, "digit")


def test_tables_that_lag_behind_the_log_are_not_compared(saved):
    change(saved, "update hpo_studies set mirrored_seq = 20")

    found, damage = parts(saved)

    assert damage is None
    assert found["Optuna's tables"].startswith("not compared: they lack 13 events")


def test_the_command_prints_each_part_and_exits_with_two_for_damage(saved, hpo):
    sound = hpo("check-study", "digits", "--storage", saved)
    assert (sound.code, sound.err) == (0, "")
    assert [line.split()[0] for line in sound.out.splitlines()[2:]] == [
        "file",
        "study",
        "events",
        "Optuna's",
        "checkpoints",
    ]

    change(saved, "update hpo_events set epoch = 2 where seq = 4")
    damaged = hpo("check-study", "digits", "--storage", saved, "--json")
    assert damaged.code == 2
    assert json.loads(damaged.out)["is_sound"] is False
    assert damaged.err == (
        f"{saved.removeprefix('sqlite:///')} is damaged (hpo_events, event 4: its checksum does not"
        " match): put back a copy or give --storage another file.\n"
    )
