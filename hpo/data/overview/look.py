"""A look at a data set: its columns, its target, and what is remarkable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpo.data.overview.formats.sample import Sample
from hpo.data.overview.kinds import Cells, kinds_of
from hpo.data.overview.overview import ColumnOverview, Overview
from hpo.data.overview.remarks import table_remarks
from hpo.data.overview.roles import Roles, roles_of
from hpo.data.overview.targets import find_target
from hpo.errors import DataError
from hpo.registry import READERS, load
from hpo.spec.words import shown


def look_at(path: Path, written: str, targets: Sequence[str] = ()) -> Overview:
    """What a look at a file or folder shows; `written` is its path as a spec has it.

    Raises:
        DataError: for one that cannot be read, or that no reader knows.
    """
    for entry in READERS.values():
        if not entry.look:
            continue
        found = load(entry.look)(path, written)
        if isinstance(found, Sample):
            return table_overview(found, path.name, targets)
        if found is not None:
            overview: Overview = found
            return overview
    known = ", ".join(name for name, entry in READERS.items() if entry.look)
    raise DataError(f"{shown(str(path))}: no reader knows it: give a file or folder of {known}.")


def table_overview(sample: Sample, name: str, targets: Sequence[str] = ()) -> Overview:
    """What a sample of a table shows.

    Raises:
        DataError: for a target that is not there or tells nothing, or a table without features.
    """
    if not len(sample.frame):
        raise DataError(f"{name}: has a header and no rows below it: add one row an example.")
    columns = list(kinds_of(sample.frame))
    target = find_target(sample.frame, columns, targets)
    roles = roles_of(sample, columns, target)
    described = tuple(_described(cells, roles) for cells in columns)
    if not any(column.role == "feature" for column in described) and not (
        roles.dataset or "split" in roles.options
    ):
        raise DataError(
            f"{name}: no column is left to learn from beside the target {shown(target.names[0])}: "
            "name another one with --target."
        )
    dataset = {**sample.dataset}
    dropped = [*sample.dataset.get("drop", ())]
    dropped += [column.name for column in described if column.role == "dropped"]
    dataset["target"] = target.names[0] if len(target.names) == 1 else list(target.names)
    dataset["task"] = "regression" if roles.dataset else target.task
    dataset |= roles.dataset
    if dropped:
        dataset["drop"] = dropped
    if roles.drop_rows:
        dataset["drop_rows"] = dict(roles.drop_rows)
    reasons = {f"dataset.{key}": text for key, text in sample.reasons.items()}
    return Overview(
        name=name,
        dataset=dataset,
        rows=sample.rows,
        seen=len(sample.frame),
        is_whole=sample.is_whole,
        target=target,
        columns=described,
        options=roles.options,
        reasons={**reasons, **roles.reasons},
        remarks=tuple(table_remarks(sample, columns, target, roles)),
        features=roles.features,
        can_fold=roles.can_fold,
    )


def _described(cells: Cells, roles: Roles) -> ColumnOverview:
    role, reason = roles.of.get(cells.name, ("feature", ""))
    return ColumnOverview(
        name=cells.name,
        kind=cells.kind,
        gaps=cells.gaps,
        distinct=cells.distinct,
        example=cells.example,
        role=role,
        reason=reason,
        treatment=roles.treatments.get(cells.name, {}),
    )
