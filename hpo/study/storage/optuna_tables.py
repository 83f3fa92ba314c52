"""Optuna's own tables, written in bulk, so that Optuna's API and dashboard read every study.

They are written in the transactions of the log, and a driver that starts brings them up to date. A
paused trial is RUNNING in them, or PRUNED once the study has done all its work. A diverged trial is
FAIL, as Optuna itself records an objective that is NaN, and an infeasible one PRUNED. The user
attribute `hpo:state` tells these apart. Constraints are stored where Optuna stores its own. A trial
that went on from another's weights has its present hparams; `hpo:lineage` has the earlier ones.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hpo.space import SearchSpace
from hpo.study.log.damage import as_damage
from hpo.study.log.events import Event, StudyState
from hpo.study.storage.database import BUSY_SECONDS, database_path, explained
from hpo.study.storage.optuna_parameters import (
    Parameter,
    insert_parameters,
    parameters,
    rewrite_parameters,
)
from hpo.study.storage.optuna_trials import (
    Standing,
    directions_of,
    optuna_state,
    standing_of,
    touched_by,
)
from hpo.study.storage.tables import Mirror, Storage, StudyRecord, mark_mirrored

# The schema that this module writes itself; any other is left to Optuna.
SCHEMA_VERSION = 12
ALEMBIC_HEAD = "v3.2.0.a"

_LOG = logging.getLogger(__name__)
_ALEMBIC = sa.table("alembic_version", sa.column("version_num", sa.String))


def open_mirror(
    storage: Storage, study: StudyRecord, space: SearchSpace, state: StudyState
) -> Mirror | None:
    """Optuna's tables for a study, created where missing and up to date with its log.

    `state` is that of the stored log; the journal updates it before it appends to the log.
    Importing Optuna and its models takes about 0.5 s, so call this while the devices are busy.
    Where the installed Optuna cannot write the existing tables, it logs why and gives None.
    """
    tables = OptunaTables(study, space, state)  # imports Optuna before other writers are locked out
    with storage.writing() as connection:
        if is_known(connection):
            tables.catch_up(connection)
            return tables
    try:
        with explained(storage.url), as_damage(storage.where, "Optuna's tables"):
            mirror = OptunaStorage(storage, study, space, state)
    except RuntimeError as error:
        _LOG.warning("Optuna's tables of study '%s' stay as they are: %s", study.name, error)
        return None
    mirror.committed()
    return mirror


@dataclass(slots=True)
class _Row:
    """What Optuna's tables hold for a trial."""

    trial_id: int
    state: str
    epochs: int = 0
    label: str | None = None
    exploited: int = 0  # the epoch after which its parameters last changed


@dataclass
class _Changes:
    """Rows to write: they are gathered trial by trial and written table by table.

    `unlabelled` are the ids of trials that lose their `hpo:state`, `reopened` those of trials that
    had ended and train again.
    """

    reports: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    attributes: list[Any] = field(default_factory=list)
    constraints: list[Any] = field(default_factory=list)
    updates: list[Any] = field(default_factory=list)
    unlabelled: list[int] = field(default_factory=list)
    reopened: list[int] = field(default_factory=list)

    def write(self, connection: sa.Connection, models: Any) -> None:
        """Write all of them; old rows are deleted before new ones take their places."""
        attributes = models.TrialUserAttributeModel.__table__
        values, trials = models.TrialValueModel.__table__, models.TrialModel.__table__
        for trial_id in self.unlabelled:
            _forget_attribute(connection, attributes, trial_id, "hpo:state")
        for trial_id in self.reopened:
            connection.execute(sa.delete(values).where(values.c.trial_id == trial_id))
            _forget_attribute(connection, attributes, trial_id, "hpo:metrics")
        by_id = trials.c.trial_id == sa.bindparam("id")
        _many(connection, sa.insert(models.TrialIntermediateValueModel.__table__), self.reports)
        _many(connection, sa.insert(values), self.values)
        _many(connection, sa.insert(attributes), self.attributes)
        _many(connection, sa.insert(models.TrialSystemAttributeModel.__table__), self.constraints)
        _many(connection, sa.update(trials).where(by_id), self.updates)


class OptunaTables:
    """Optuna's tables of one study, in the schema that this module knows."""

    def __init__(self, study: StudyRecord, space: SearchSpace, state: StudyState) -> None:
        from optuna.storages._rdb import models

        self._models = models
        self._study = study
        self._metric = state.goal.first.metric
        self._space = space
        self._parameters: dict[str, Parameter] = {}
        self._state = state
        self._rows: dict[int, _Row] = {}
        self._optuna_id = 0

    def catch_up(self, connection: sa.Connection) -> None:
        """Write everything that the log has and the tables lack."""
        with as_damage(self._study.where, "Optuna's tables"):
            self._optuna_id = self._find_or_create(connection)
            self._rows = self._read_rows(connection)
        trials = self._state.trials
        self._parameters = parameters(self._space, trials)
        written = [(self._rows[t.number].trial_id, t) for t in trials if t.number in self._rows]
        table, rows = self._models.TrialParamModel.__table__, self._models.TrialModel.__table__
        ours = sa.select(rows.c.trial_id).where(rows.c.study_id == self._optuna_id)
        rewrite_parameters(connection, table, ours, self._parameters, written)
        self._write_trials(connection, [trial.number for trial in trials])
        mark_mirrored(connection, self._study.id, self._state.seq)

    def write(self, connection: sa.Connection, events: Sequence[Event]) -> None:
        """Write the trials of new events, in the transaction that stores the events."""
        self._write_trials(connection, touched_by(events, self._state))

    def committed(self) -> None:
        """Do nothing: all was written in the transaction."""

    def _find_or_create(self, connection: sa.Connection) -> int:
        models, name = self._models, self._study.name
        if not sa.inspect(connection).has_table("version_info"):
            _create_tables(connection)
        studies = models.StudyModel.__table__
        found = connection.execute(
            sa.select(studies.c.study_id).where(studies.c.study_name == name)
        ).scalar()
        if found is not None:
            return int(found)
        created = connection.execute(
            sa.insert(studies).values(study_name=name).returning(studies.c.study_id)
        ).scalar_one()
        directions = [
            {"study_id": created, "objective": number, "direction": direction}
            for number, direction in enumerate(directions_of(self._state.goal))
        ]
        connection.execute(sa.insert(models.StudyDirectionModel.__table__), directions)
        return int(created)

    def _read_rows(self, connection: sa.Connection) -> dict[int, _Row]:
        models = self._models
        trials = models.TrialModel.__table__
        values = models.TrialIntermediateValueModel.__table__
        labels = models.TrialUserAttributeModel.__table__
        ours = trials.c.study_id == self._optuna_id
        by_id = {
            trial_id: (number, _Row(trial_id, state.name))
            for trial_id, number, state in connection.execute(
                sa.select(trials.c.trial_id, trials.c.number, trials.c.state).where(ours)
            )
        }
        last = sa.select(values.c.trial_id, sa.func.max(values.c.step)).join(trials).where(ours)
        for trial_id, epochs in connection.execute(last.group_by(values.c.trial_id)):
            by_id[trial_id][1].epochs = epochs
        attributes = sa.select(labels.c.trial_id, labels.c.value_json).join(trials)
        for trial_id, text in connection.execute(
            attributes.where(ours, labels.c.key == "hpo:state")
        ):
            by_id[trial_id][1].label = json.loads(text)
        return dict(by_id.values())

    def _write_trials(self, connection: sa.Connection, numbers: Iterable[int]) -> None:
        """Bring the rows of these trials up to date with the state."""
        is_final = self._state.stop is not None and self._state.stop.is_final
        standings = [
            standing_of(self._state, number, is_final=is_final) for number in sorted(numbers)
        ]
        new = [standing for standing in standings if standing.trial.number not in self._rows]
        self._insert_trials(connection, new)
        self._follow_exploits(connection, standings)
        changes = _Changes()
        for standing in standings:
            row = self._rows[standing.trial.number]
            self._follow_reports(changes, row, self._state.metrics[standing.trial.number])
            _follow_label(changes, row, standing)
            self._follow_state(changes, row, standing)
        changes.write(connection, self._models)

    def _follow_reports(
        self, changes: _Changes, row: _Row, metrics: Sequence[Mapping[str, float]]
    ) -> None:
        kind = self._models.TrialIntermediateValueModel
        for epoch in range(row.epochs + 1, len(metrics) + 1):
            value, finiteness = kind.intermediate_value_to_stored_repr(
                metrics[epoch - 1][self._metric]
            )
            changes.reports.append(
                {
                    "trial_id": row.trial_id,
                    "step": epoch,
                    "intermediate_value": value,
                    "intermediate_value_type": finiteness,
                }
            )
        row.epochs = len(metrics)

    def _follow_state(self, changes: _Changes, row: _Row, standing: Standing) -> None:
        if row.state == standing.state:
            return
        if row.state in ("COMPLETE", "PRUNED", "FAIL"):
            changes.reopened.append(row.trial_id)
        finite = self._models.TrialValueModel.TrialValueType.FINITE
        for objective, value in enumerate(standing.values):
            changes.values.append(
                {
                    "trial_id": row.trial_id,
                    "objective": objective,
                    "value": value,
                    "value_type": finite,
                }
            )
        for name, excess in standing.constraints.items():
            changes.constraints.append(_attribute(row.trial_id, f"constraints:{name}", excess))
        if standing.metrics:
            changes.attributes.append(_attribute(row.trial_id, "hpo:metrics", standing.metrics))
        changes.updates.append(
            {
                "id": row.trial_id,
                "state": optuna_state(standing.state),
                "datetime_complete": standing.ended,
            }
        )
        row.state = standing.state

    def _insert_trials(self, connection: sa.Connection, standings: Sequence[Standing]) -> None:
        models = self._models
        trials = models.TrialModel.__table__
        running = optuna_state("RUNNING")
        rows = [
            {
                "number": standing.trial.number,
                "study_id": self._optuna_id,
                "state": running,
                "datetime_start": standing.started,
            }
            for standing in standings
        ]
        if not rows:
            return
        returning = sa.insert(trials).returning(trials.c.trial_id, trials.c.number)
        for trial_id, number in connection.execute(returning, rows):
            self._rows[number] = _Row(trial_id, "RUNNING")
        numbered = [(self._rows[s.trial.number].trial_id, s.trial) for s in standings]
        insert_parameters(connection, models.TrialParamModel.__table__, self._parameters, numbered)

    def _follow_exploits(self, connection: sa.Connection, standings: Sequence[Standing]) -> None:
        """Write the present hparams of trials that went on from the weights of others."""
        hparams = self._models.TrialParamModel.__table__
        attributes = self._models.TrialUserAttributeModel.__table__
        changed = [
            s for s in standings if s.trial.exploited != self._rows[s.trial.number].exploited
        ]
        for standing in changed:
            row, lineage = self._rows[standing.trial.number], standing.lineage
            connection.execute(sa.delete(hparams).where(hparams.c.trial_id == row.trial_id))
            _forget_attribute(connection, attributes, row.trial_id, "hpo:lineage")
            new = _attribute(row.trial_id, "hpo:lineage", [asdict(part) for part in lineage])
            connection.execute(sa.insert(attributes).values(new))
            row.exploited = standing.trial.exploited
        numbered = [(self._rows[s.trial.number].trial_id, s.trial) for s in changed]
        insert_parameters(connection, hparams, self._parameters, numbered)


class OptunaStorage:
    """Writes finished trials through Optuna's own storage: slow, but right for any schema.

    Optuna numbers trials as they finish; the user attribute `hpo:number` has the study's number.
    """

    def __init__(
        self, storage: Storage, study: StudyRecord, space: SearchSpace, state: StudyState
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = database_path(storage.url)
        url = storage.url if path is None else storage.url.set(database=str(path))
        options: dict[str, Any] = {"poolclass": sa.NullPool}
        if path is not None:
            options["connect_args"] = {"timeout": BUSY_SECONDS}
        self._storage = optuna.storages.RDBStorage(
            url.render_as_string(hide_password=False), engine_kwargs=options
        )
        self._study = optuna.create_study(
            study_name=study.name,
            storage=self._storage,
            directions=directions_of(state.goal),
            load_if_exists=True,
        )
        self._state = state
        self._parameters = parameters(space, state.trials)
        known = {trial.user_attrs.get("hpo:number", trial.number) for trial in self._study.trials}
        self._missing = {n for n in self._state.ended_ms if n not in known}

    def write(self, connection: sa.Connection, events: Sequence[Event]) -> None:
        """Note the trials of new events, to be written after the transaction."""
        touched = touched_by(events, self._state)
        self._missing |= {number for number in touched if number in self._state.ended_ms}

    def committed(self) -> None:
        """Write the trials that have finished."""
        import optuna

        metric = self._state.goal.first.metric
        for number in sorted(self._missing):
            standing = standing_of(self._state, number, is_final=False)
            attributes: dict[str, Any] = {"hpo:number": number}
            if standing.metrics:
                attributes["hpo:metrics"] = standing.metrics
            if standing.label is not None:
                attributes["hpo:state"] = standing.label
            if standing.trial.exploited:
                attributes["hpo:lineage"] = [asdict(part) for part in standing.lineage]
            hparams = {
                name: value
                for name, value in standing.trial.hparams.items()
                if name in self._parameters and self._parameters[name].holds(value)
            }
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=optuna_state(standing.state),
                    values=standing.values or None,
                    system_attrs={f"constraints:{k}": v for k, v in standing.constraints.items()},
                    params={name: self._parameters[name].plain(v) for name, v in hparams.items()},
                    distributions={name: self._parameters[name].distribution for name in hparams},
                    user_attrs=attributes,
                    intermediate_values={
                        epoch: metrics[metric]
                        for epoch, metrics in enumerate(self._state.metrics[number], start=1)
                    },
                )
            )
        self._missing.clear()
        self._storage.remove_session()


def is_known(connection: sa.Connection) -> bool:
    """Whether the installed Optuna and the database agree on the schema of this module."""
    import optuna.storages._rdb as rdb
    from optuna.storages._rdb import models

    migrations = Path(rdb.__path__[0]) / "alembic" / "versions"
    heads = sorted(path.stem.rstrip("_") for path in migrations.glob("v*.py"))
    if models.SCHEMA_VERSION != SCHEMA_VERSION or heads[-1:] != [ALEMBIC_HEAD]:
        return False
    if not sa.inspect(connection).has_table("version_info"):
        return True
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    stamp = connection.execute(sa.select(_ALEMBIC.c.version_num)).scalar()
    version = connection.execute(sa.select(models.VersionInfoModel.schema_version)).scalar()
    return stamp == ALEMBIC_HEAD and version == SCHEMA_VERSION


def _create_tables(connection: sa.Connection) -> None:
    """Create Optuna's tables and stamp their version; Optuna's own tool takes 0.5 s longer."""
    from optuna import __version__
    from optuna.storages._rdb import models

    models.BaseModel.metadata.create_all(connection)
    connection.execute(
        sa.insert(models.VersionInfoModel.__table__).values(
            version_info_id=1, schema_version=SCHEMA_VERSION, library_version=__version__
        )
    )
    stamps = sa.Table(
        "alembic_version",
        sa.MetaData(),
        sa.Column("version_num", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
    )
    stamps.create(connection)
    connection.execute(sa.insert(stamps).values(version_num=ALEMBIC_HEAD))


def _follow_label(changes: _Changes, row: _Row, standing: Standing) -> None:
    if row.label == standing.label:
        return
    if row.label is not None:
        changes.unlabelled.append(row.trial_id)
    if standing.label is not None:
        changes.attributes.append(_attribute(row.trial_id, "hpo:state", standing.label))
    row.label = standing.label


def _forget_attribute(
    connection: sa.Connection, attributes: sa.Table, trial_id: int, key: str
) -> None:
    old = attributes.c.trial_id == trial_id, attributes.c.key == key
    connection.execute(sa.delete(attributes).where(*old))


def _attribute(trial_id: int, key: str, value: object) -> dict[str, object]:
    return {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}


def _many(connection: sa.Connection, statement: sa.Executable, rows: list[Any]) -> None:
    if rows:
        connection.execute(statement, rows)
