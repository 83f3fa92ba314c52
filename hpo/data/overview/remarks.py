"""What is remarkable about a table, each with the YAML that changes what is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hpo.data.overview.copies import that_tell_the_target, with_one_target_each
from hpo.data.overview.formats.sample import Sample
from hpo.data.overview.kinds import Cells
from hpo.data.overview.overview import Remark, Target
from hpo.data.overview.roles import Roles
from hpo.data.readers.tables.table import listed
from hpo.spec.file.dump import value_text
from hpo.spec.words import count_text, shown

_UNEVEN = 10.0


def table_remarks(
    sample: Sample, columns: Sequence[Cells], target: Target, roles: Roles
) -> Iterator[Remark]:
    """What a user should know of a table before training on it."""
    dropped = [name for name, (role, _) in roles.of.items() if role == "dropped"]
    for name in dropped[:5]:
        rest = [other for other in dropped if other != name]
        cure = f"to keep it: drop: {value_text(rest)}" if len(dropped) <= 5 else ""
        yield Remark(f"column {shown(name)} is left out: it {roles.of[name][1]}", cure)
    if len(dropped) > 5:
        yield Remark(f"{len(dropped) - 5:,} more columns are left out", "see data.dataset.drop")
    gaps = [f"{shown(cells.name)} {cells.gaps:,}" for cells in columns if _is_filled(cells, roles)]
    if gaps:
        text = f"gaps in {listed(gaps)}: each gets the median or the most frequent text"
        yield Remark(text, "columns: {impute: mean}, or flag: true for a feature that says where")
    if roles.repeated:
        count = count_text(roles.repeated, "row")
        verb = "repeats another" if roles.repeated == 1 else "repeat others"
        if "duplicates" in roles.drop_rows:
            text = f"{count} {verb}, target included, and will be left out"
            yield Remark(text, "drop_rows: {duplicates: false}")
        else:
            yield Remark(f"{count} {verb}, target included", "drop_rows: {duplicates: true}")
    rare = sum(rows == 1 for rows in target.classes.values())
    if rare and "rare_classes" in roles.drop_rows:
        text = f"{rare} classes have a single row" if rare > 1 else "1 class has a single row"
        yield Remark(f"{text}, too few to be judged", "drop_rows: {rare_classes: 5} for more rows")
    if len(target.classes) > 1 and target.task == "classification":
        most, least = max(target.classes.values()), min(target.classes.values())
        if most >= _UNEVEN * least:
            text = f"the largest class has {most:,} rows, the smallest {least:,}"
            yield Remark(text, "class_weight: balanced")
    yield from _series(columns, target, roles)
    features = [cells for cells in columns if roles.role(cells.name) == "feature"]
    for name in that_tell_the_target(sample.frame, features, target)[:3]:
        yield Remark(
            f"column {shown(name)} alone tells each target; if it is known only afterwards",
            f"drop: {value_text([name])}",
        )
    yield from _groups(sample, columns, target, roles)
    yield from _dates(columns, roles)
    codes = [
        cells
        for cells in columns
        if cells.kind == "whole"
        and 2 < cells.distinct <= 12
        and cells.name not in roles.of
        and not roles.treatments.get(cells.name)
    ]
    if codes:
        names = listed([shown(cells.name) for cells in codes])
        cure = f"columns: {{by_name: {value_text({codes[0].name: {'type': 'category'}})}}}"
        yield Remark(f"{names}: few whole numbers, taken as quantities; if they are codes", cure)


def _series(columns: Sequence[Cells], target: Target, roles: Roles) -> Iterator[Remark]:
    """That rows are a series, and which of them are missing, or why they are not taken for one."""
    if roles.no_series:
        yield Remark(
            f"the rows are nearly a series, and each is taken by itself: {roles.no_series}",
            "to forecast: add time, window and horizon (docs/tasks.md)",
        )
    if not roles.dataset:
        return
    time = value_text({"time": roles.dataset["time"]})
    text = "the rows are a series, whose next values are forecast from those before"
    yield Remark(text, f"without window and horizon, and with split: {time}: each row by itself")
    empty = sum(cells.gaps for cells in columns if cells.name in target.names)
    found = [f"{roles.gaps_in_time:,} longer steps between rows"] if roles.gaps_in_time else []
    found += [f"{count_text(empty, 'row')} without a target, left out"] if empty else []
    if found:
        text = f"gaps in the series: {' and '.join(found)}; windows count rows, not time"
        yield Remark(text, "fill the gaps in the file if that matters")


def _is_filled(cells: Cells, roles: Roles) -> bool:
    return bool(
        cells.gaps and cells.kind not in ("text", "empty") and roles.role(cells.name) == "feature"
    )


def _groups(
    sample: Sample, columns: Sequence[Cells], target: Target, roles: Roles
) -> Iterator[Remark]:
    """That rows of one person or thing may be on both sides of a random split."""
    if "split" in roles.options or roles.dataset:
        return
    features = [cells for cells in columns if roles.role(cells.name) == "feature"]
    for name in with_one_target_each(sample.frame, features, target)[:1]:
        yield Remark(
            f"rows of the same {shown(name)} have the same target, which a random split lets a "
            "model look up: to judge by new ones",
            f"split: {value_text({'group': name})}",
        )


def _dates(columns: Sequence[Cells], roles: Roles) -> Iterator[Remark]:
    """That rows of all times are mixed."""
    if "split" in roles.options or roles.dataset:
        return
    for cells in columns:
        if cells.kind == "date" and cells.name not in roles.of:
            yield Remark(
                f"a random split mixes the times of {shown(cells.name)}: to judge by the latest",
                f"split: {value_text({'time': cells.name})}",
            )
            return
