"""Checks everything that the files of a study hold: `hpo check-study`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hpo.errors import DamagedError
from hpo.space import SearchSpace
from hpo.spec.load import require_search
from hpo.spec.words import count_text
from hpo.study.log.damage import as_damage
from hpo.study.log.events import StudyState, fold
from hpo.study.log.judging import Judging
from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.study.storage.lease import driver_of
from hpo.study.storage.optuna_tables import OptunaTables, is_known
from hpo.study.storage.stored import stored_experiment
from hpo.study.storage.tables import STUDIES, Storage, StudyRecord


@dataclass(frozen=True)
class Part:
    """A part of a study's files: what was `checked` in it, and the `damage` that it has, if any."""

    name: str
    checked: str
    damage: str | None = None


@dataclass(frozen=True)
class StudyCheck:
    """What was found in the files of a study; parts behind an unreadable one are left out."""

    study: str
    database: str
    parts: tuple[Part, ...]

    @property
    def damage(self) -> str | None:
        """The first damage that was found."""
        return next((part.damage for part in self.parts if part.damage is not None), None)


def check_study(storage: Storage, name: str) -> StudyCheck:
    """Check the database and the checkpoints of the study of that name.

    Raises:
        StudyError: if there is no such study, or its spec has names that are unknown here.
    """
    parts = [_part("file", lambda: _file(storage))]
    try:
        record = storage.study(name)
        storage.studies()
    except DamagedError as error:
        parts.append(Part("study", "its spec and provenance", error.what))
        return StudyCheck(name, storage.where, tuple(parts))
    parts.append(Part("study", "its spec and provenance"))
    experiment = stored_experiment(record, storage.where)
    goal = require_search(experiment).goal
    judging = Judging.of(experiment.training.train, goal.first)
    state = StudyState(goal, judging)

    def replay() -> str:
        nonlocal state
        events = storage.events(record.id)
        state = fold(events, goal, storage.where, judging)
        text = f"{count_text(len(events), 'event')}, replayed"
        unsealed = len(events) - storage.count_sealed(record.id)
        return f"{text}; {unsealed:,} of an earlier hpo without checksums" if unsealed else text

    parts.append(_part("events", replay))
    if parts[-1].damage is None:
        of_optuna = _part(
            "Optuna's tables", lambda: _mirror(storage, record, experiment.space, state)
        )
        parts += [of_optuna, _part("checkpoints", lambda: _checkpoints(storage, name, state))]
    return StudyCheck(name, storage.where, tuple(parts))


def _part(name: str, check: Callable[[], str]) -> Part:
    try:
        return Part(name, check())
    except DamagedError as error:
        return Part(name, "", error.what)


def _file(storage: Storage) -> str:
    if storage.url.get_backend_name() != "sqlite":
        return "left to the server"
    with storage.reading() as connection:
        problems = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    if problems != ["ok"]:
        first = " ".join(str(problems[0]).split())[:200]
        raise DamagedError(storage.where, f"{count_text(len(problems), 'problem')}: {first}")
    return f"{count_text(pages, 'page')}, by SQLite's own check"


def _mirror(storage: Storage, record: StudyRecord, space: SearchSpace, state: StudyState) -> str:
    """Compare Optuna's tables with those that the log leads to."""
    lag = state.seq - record.mirrored_seq
    if lag < 0:
        raise DamagedError(storage.where, f"hpo_studies: it has no event {record.mirrored_seq}")
    if driver_of(storage, record.id) is not None:
        return "not compared while the study runs"
    if lag > 0:
        return f"not compared: they lack {count_text(lag, 'event')}, which the next run adds"
    with storage.reading() as connection, as_damage(storage.where, "Optuna's tables"):
        if not is_known(connection):
            return "not compared: they are of another version of Optuna"
        found = _rows_of(connection, record.name)
    wanted = _written_anew(record, space, state)
    for table, rows in wanted.items():
        for row in sorted(rows - found[table], key=str):
            what = f"{table}, trial {row[0]}: it is not as the log has it"
            raise DamagedError(storage.where, what)
    count = sum(map(len, wanted.values()))
    return f"{count_text(count, 'row')}, the same as in the log"


def _written_anew(
    record: StudyRecord, space: SearchSpace, state: StudyState
) -> dict[str, set[tuple[Any, ...]]]:
    """The rows of Optuna's tables that a log leads to, in a database of its own."""
    engine = sa.create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            STUDIES.create(connection)
            OptunaTables(record, space, state).catch_up(connection)
            return _rows_of(connection, record.name)
    finally:
        engine.dispose()


def _rows_of(connection: sa.Connection, study: str) -> dict[str, set[tuple[Any, ...]]]:
    """The rows that `hpo` writes to Optuna's tables, each with the number of its trial."""
    from optuna.storages._rdb import models

    trials, studies = models.TrialModel.__table__, models.StudyModel.__table__
    ours = (
        trials.c.study_id
        == sa.select(studies.c.study_id).where(studies.c.study_name == study).scalar_subquery()
    )
    columns = {
        trials: ("state", "datetime_start", "datetime_complete"),
        models.TrialValueModel.__table__: ("objective", "value", "value_type"),
        models.TrialParamModel.__table__: ("param_name", "param_value", "distribution_json"),
        models.TrialIntermediateValueModel.__table__: (
            "step",
            "intermediate_value",
            "intermediate_value_type",
        ),
        models.TrialUserAttributeModel.__table__: ("key", "value_json"),
        models.TrialSystemAttributeModel.__table__: ("key", "value_json"),
    }
    found = {}
    for table, names in columns.items():
        source = trials if table is trials else sa.join(table, trials)
        query = sa.select(trials.c.number, *(table.c[name] for name in names))
        rows = connection.execute(query.select_from(source).where(ours)).all()
        found[table.name] = {tuple(row) for row in rows}
    return found


def _checkpoints(storage: Storage, study: str, state: StudyState) -> str:
    """Read the checkpoints from which the trials of a study would go on."""
    folder = CheckpointFolder.beside(str(storage.url), study)
    wanted = {
        checkpoint.file: checkpoint.sha256
        for run, checkpoint in state.checkpoints.items()
        if run.trial in state.unfinished
    }
    missing = 0
    for file, sha256 in wanted.items():
        content, reason = folder.read(file, sha256)
        # Not the method of `Path`, which raises where the folder may not be entered.
        if content is None and os.path.isfile(folder.path / file):  # noqa: PTH113
            raise DamagedError(storage.where, f"checkpoint {file}: {reason}")
        missing += content is None
    text = f"{count_text(len(wanted) - missing, 'file')} read"
    lost = f"; {missing:,} cannot be read, whose trials train again from the start"
    return text + (lost if missing else "")
