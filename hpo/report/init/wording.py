"""An overview of a data set in words: lines for people, and plain values for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from hpo.data.overview.overview import ColumnOverview, Kind, Overview, Remark, Target
from hpo.data.readers.tables.table import listed
from hpo.report.console import Text
from hpo.report.init.budget import Budget
from hpo.spec.words import count_text, shown

_MOST_ROWS = 60
_KINDS: dict[Kind, tuple[str, str]] = {
    "number": ("number", "numbers"),
    "whole": ("whole number", "whole numbers"),
    "boolean": ("boolean", "booleans"),
    "category": ("category", "categories"),
    "date": ("date", "dates"),
    "text": ("text", "texts"),
    "empty": ("empty", "empty"),
}


def looked_text(overview: Overview) -> str:
    """How much there is, and how much of it was read."""
    if overview.shape:
        size = "x".join(map(str, overview.shape))
        return f"{count_text(overview.rows, 'image')} of {size}"
    about = "" if overview.is_whole else "about "
    text = f"{about}{count_text(overview.rows, 'row')}, "
    text += count_text(len(overview.columns), "column")
    if overview.is_whole:
        return text
    return f"{text}; {overview.seen:,} rows were read, of the head and of pieces of the rest"


def task_text(target: Target) -> str:
    """The task and its target: `classification of churned (2 classes, 26.5 % yes)`."""
    names = listed([shown(name) for name in target.names])
    text = f"{target.task} of {names}"
    if target.task == "multilabel":
        return f"{text} ({len(target.names)} labels)"
    if not target.classes:
        return text
    total = sum(target.classes.values())
    share = f"{100 * next(iter(target.classes.values())) / max(total, 1):.3g}"
    first = shown(next(iter(target.classes)))
    return f"{text} ({len(target.classes)} classes, {share} % are {first})"


def found_lines(overview: Overview) -> list[str]:
    """What a first spec is made from: size and task, kinds of features, and what is remarkable."""
    lines = [f"{overview.name}: {looked_text(overview)} -> {task_text(overview.target)}"]
    if kinds := kinds_text(overview):
        lines.append(f"  features: {kinds}")
    return lines + [f"  {remark_text(remark)}" for remark in overview.remarks]


def written_lines(budget: Budget | None, file: str) -> list[str]:
    """What was written, how long its search takes, and how to start it."""
    if budget is None:
        return [f"wrote {file}", f"next: hpo check {file}, then hpo search {file}"]
    size = f"{count_text(budget.trials, 'trial')} of up to {count_text(budget.epochs, 'epoch')}"
    return [
        f"wrote {file}: {size}, about {seconds_text(budget.seconds)}",
        f"next: hpo search {file}, then hpo train {file} -o model/",
    ]


def remark_text(remark: Remark) -> str:
    """A remark, and what changes what was made of it."""
    return f"{remark.text}  ->  {remark.cure}" if remark.cure else remark.text


def kinds_text(overview: Overview) -> str:
    """How many features of each kind there are."""
    kinds = Counter(column.kind for column in overview.columns if column.role == "feature")
    return ", ".join(
        f"{kinds[kind]:,} {words[kinds[kind] > 1]}" for kind, words in _KINDS.items() if kinds[kind]
    )


def seconds_text(seconds: float) -> str:
    """A duration in one unit: `40 s`, `3 m`, `2 h`."""
    if seconds < 90:
        return f"{round(seconds)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} m"
    return f"{seconds / 3600:.3g} h" if seconds % 3600 == 0 else f"{round(seconds / 60)} m"


def overview_view(overview: Overview) -> RenderableType:
    """A data set at a look: a row for each column, then what is remarkable."""
    parts: list[RenderableType] = [
        Text(f"{overview.name}: {looked_text(overview)}", "bold"),
        Text(f"  {task_text(overview.target)}, {overview.target.why_names}"),
    ]
    if overview.columns:
        parts += [Text(""), _columns_table(overview)]
    if overview.target.classes and overview.target.task == "classification":
        parts += [Text(""), Text(f"classes: {classes_text(overview.target)}")]
    parts += [Text(f"- {remark_text(remark)}") for remark in overview.remarks]
    return Group(*parts)


def classes_text(target: Target) -> str:
    """The rows of the most frequent classes."""
    some = [f"{shown(name)} {rows:,}" for name, rows in target.classes.items()]
    more = f" and {len(some) - 10:,} more" if len(some) > 10 else ""
    return ", ".join(some[:10]) + more


def _columns_table(overview: Overview) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for heading in ("column", "is", "gaps", "different", "example", "used as"):
        table.add_column(heading, justify="right" if heading in ("gaps", "different") else "left")
    for column in overview.columns[:_MOST_ROWS]:
        table.add_row(
            Text(shown(column.name).strip("'"), "bold"),
            column.kind,
            f"{column.gaps:,}" if column.gaps else "",
            f"{column.distinct:,}",
            shown(column.example),
            _use(column),
        )
    if len(overview.columns) > _MOST_ROWS:
        table.add_row(f"and {len(overview.columns) - _MOST_ROWS:,} more")
    return table


def _use(column: ColumnOverview) -> str:
    if column.role == "feature" and column.treatment:
        return ", ".join(f"{key}: {value}" for key, value in column.treatment.items())
    return f"{column.role}: {column.reason}" if column.reason else column.role


def as_json(overview: Overview) -> dict[str, Any]:
    """The overview as plain values."""
    return asdict(overview)
