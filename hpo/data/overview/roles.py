"""What each column of a table is for: a feature, one to leave out, or one that splits the rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hpo.data.leaks import are_repeated_things, is_id_name
from hpo.data.overview.copies import copies_of_target, repeated_rows
from hpo.data.overview.formats.sample import Sample
from hpo.data.overview.groups import judged_by_groups
from hpo.data.overview.kinds import Cells
from hpo.data.overview.overview import Role, Target
from hpo.data.overview.series import NoSeries, likely_series, steps_of
from hpo.data.readers.tables.split_column import SPLIT_WORDS
from hpo.spec.sections.columns import MOST_CATEGORIES

_MOST_ONE_HOT = 100
_CODE_WORDS = re.compile(
    r"(?i)(.*[^a-z])?(code|codes|zip|zipcode|postcode|postal|category|type|class|kind|group|region|"
    r"department|dept|store|brand|model)"
)
_TIME_NAME = re.compile(r"(?i)(date|time|datetime|timestamp|ds|day|month|week|year)")
_LEAST_ROWS = 20
_ALL_DIFFERENT: tuple[Role, str] = ("dropped", "has another text in nearly every row")
_UNJUDGED = (
    "names things with several rows, too few of each class for a split by it: a random split puts "
    "the same ones on both sides, which flatters"
)


@dataclass
class Roles:
    """The role of each column with its reason, and what a spec says of columns and rows."""

    of: dict[str, tuple[Role, str]] = field(default_factory=dict)
    treatments: dict[str, dict[str, Any]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)  # of a series: time, window, horizon
    gaps_in_time: int = 0  # how often rows of a series are missing
    no_series: str = ""  # why rows that nearly are a series are not taken for one
    drop_rows: dict[str, Any] = field(default_factory=dict)
    can_fold: bool = True  # with the groups of the split kept whole
    repeated: int = 0  # rows that repeat an earlier one, target included
    features: int = 0

    def role(self, name: str) -> Role:
        """What a column is for."""
        return self.of.get(name, ("feature", ""))[0]


def roles_of(sample: Sample, columns: Sequence[Cells], target: Target) -> Roles:
    """The role of each column of a table, and what a spec says of each."""
    roles = Roles()
    for name in target.names:
        roles.of[name] = ("target", "")
    others = [cells for cells in columns if cells.name not in target.names]
    copies = copies_of_target(sample.frame, others, target)
    for cells in others:
        reason = copies.get(cells.name) or _no_feature(cells, len(sample.frame))
        if reason:
            roles.of[cells.name] = ("dropped", reason)
    texts = [cells.name for cells in others if roles.of.get(cells.name) == _ALL_DIFFERENT]
    if texts and len(roles.of) == len(columns):
        del roles.of[texts[0]]  # nothing else is left to learn from
    _split(roles, sample, [cells for cells in others if cells.name not in roles.of], target)
    for cells in others:
        if roles.role(cells.name) == "dropped":
            continue
        is_text = cells.name in texts
        treatment = {"type": "text"} if is_text else _treatment(cells, len(sample.frame))
        is_split = roles.role(cells.name) == "split"
        if treatment and not is_split:
            roles.treatments[cells.name] = treatment
        roles.features += 0 if is_split else _width(cells, treatment)
    if roles.treatments:
        roles.options["columns"] = {"by_name": roles.treatments}
    _rows(roles, sample, columns, target)
    return roles


def _no_feature(cells: Cells, rows: int) -> str:
    """Why a column can teach nothing; empty where it can."""
    if cells.kind == "empty":
        return "is empty"
    if cells.distinct == 1 and not cells.gaps:
        return "has the same value in every row"
    is_each_once = cells.distinct == rows and rows >= _LEAST_ROWS
    if cells.kind == "category" and cells.distinct >= 0.95 * (rows - cells.gaps) >= _LEAST_ROWS:
        return _ALL_DIFFERENT[1]
    if cells.kind == "whole" and is_each_once:
        if is_id_name(cells.name):
            return "has the name of an id, and each value once"
        if cells.high - cells.low == rows - 1 and (cells.rises or cells.falls):
            return "numbers the rows"
    return ""


def _split(roles: Roles, sample: Sample, columns: Sequence[Cells], target: Target) -> None:
    """Split as a column says, by the time of a series, or by the person or thing of a row."""
    for cells in columns:
        if cells.kind == "category" and not cells.gaps and cells.distinct in (2, 3):
            words = {str(word).strip().casefold() for word in sample.frame[cells.name].unique()}
            places = {SPLIT_WORDS.get(word, -1) for word in words}
            if places in ({0, 1}, {0, 2}, {0, 1, 2}):
                roles.options |= {"split": {"column": cells.name}}
                if 2 in places:
                    roles.options["test"] = "auto"
                roles.reasons["split"] = "the column says what each row is for"
                roles.of[cells.name] = ("split", "says what each row is for")
                return
    for cells in columns:
        if cells.gaps or not (cells.rises or cells.falls) or cells.distinct < _LEAST_ROWS:
            continue
        is_date = cells.kind == "date" and not cells.is_number
        beside = [other for other in columns if other is not cells]
        series = None
        if is_date and sample.is_whole:
            series = likely_series(sample.frame, cells, beside, target, sample.rows)
        if isinstance(series, NoSeries):
            roles.no_series = series.reason
        elif series is not None:
            roles.dataset |= series._asdict()
            roles.gaps_in_time = steps_of(sample.frame, cells).longer
            roles.reasons["dataset.window"] = "rows of the past that are the input of a forecast"
            roles.reasons["dataset.horizon"] = "rows ahead that are forecast"
            roles.of[cells.name] = ("split", "orders the series")
            roles.features = (series.window - 1) * (len(beside) + 1)
            return
        if is_date or (cells.is_number and _TIME_NAME.fullmatch(cells.name)):
            split: dict[str, Any] = {"time": cells.name}
            if len(columns) == 1:
                split["feature"] = True
            roles.options["split"] = split
            roles.reasons["split"] = "rows are in order of time: the latest are the test"
            roles.of[cells.name] = ("split", "orders the rows in time")
            if len(columns) == 1:
                roles.treatments[cells.name] = {"type": "date"} if is_date else {}
                roles.features += 5
            return
    for cells in columns:
        if (
            is_id_name(cells.name)
            and cells.kind in ("whole", "category")
            and not cells.gaps
            and are_repeated_things(cells.distinct, len(sample.frame))
        ):
            judged = judged_by_groups(sample.frame, cells.name, target)
            if not judged:
                roles.of[cells.name] = ("dropped", _UNJUDGED)
                return
            roles.can_fold = judged == "folds"
            roles.options["split"] = {"group": cells.name}
            roles.reasons["split"] = "rows of the same id stay together; remove for a random split"
            roles.of[cells.name] = ("split", "groups the rows")
            return


def _treatment(cells: Cells, rows: int) -> dict[str, Any]:
    """What `data.columns.by_name` says of a feature."""
    match cells.kind:
        case "date":
            return {"type": "date"}
        case "boolean":
            return {"type": "boolean"}
        case "text":
            return {"type": "text"}
        case "category" if cells.distinct > MOST_CATEGORIES or cells.distinct > rows / 4:
            return {"encode": "hashing"}
        case "category" if cells.distinct > _MOST_ONE_HOT:
            return {"encode": "target"}
        case "whole" if 2 < cells.distinct <= MOST_CATEGORIES and _CODE_WORDS.fullmatch(cells.name):
            if cells.distinct > _MOST_ONE_HOT:
                return {"type": "category", "encode": "target"}
            return {"type": "category"}
    return {}


def _width(cells: Cells, treatment: dict[str, Any]) -> int:
    """How many numbers a model gets for a column, about."""
    match treatment:
        case {"type": "text"}:
            return 2000
        case {"type": "date"}:
            return 5
        case {"encode": "hashing"}:
            return 64
        case {"encode": "target"}:
            return 1
        case {"type": "category"}:
            return cells.distinct
    return cells.distinct if cells.kind == "category" else 1


def _rows(roles: Roles, sample: Sample, columns: Sequence[Cells], target: Target) -> None:
    """Rows that a spec leaves out: those without a target, and those that repeat another."""
    if any(cells.gaps for cells in columns if cells.name in target.names):
        roles.drop_rows["missing_target"] = True
    used = [cells.name for cells in columns if roles.role(cells.name) in ("feature", "target")]
    if "split" not in roles.options and not roles.dataset:
        roles.repeated = repeated_rows(sample.frame, used)
        if roles.repeated and sample.is_whole:
            roles.drop_rows["duplicates"] = True
    # A class may have a single row once repeated ones are left out.
    if target.task == "classification" and min(target.classes.values()) <= 1 + roles.repeated:
        roles.drop_rows["rare_classes"] = 2
