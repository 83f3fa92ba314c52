"""What `hpo explain` shows: what a model looks at, where it is wrong, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from hpo.report.console import Text
from hpo.report.training import metrics_text
from hpo.report.wording import number_text, sparkline
from hpo.spec.words import count_text
from hpo.trained.explain.attribution import Attribution, mean_sizes
from hpo.trained.explain.findings import Explanation
from hpo.trained.save import plain_metrics

_MOST_COLUMNS, _MOST_CLASSES = 20, 12
_BAR = 20
_MOST_TEXTS, _MOST_WORDS = 8, 5
_MOST_VALUES = 4
_MOST_TOKENS, _MOST_SIGNS = 3, 32


def explain_view(name: str, found: Explanation) -> RenderableType:
    """The parts of an explanation that there are, one after another."""
    parts = [_importance, _attribution, _confusion, _overlaps, _calibration, _worst, _windows]
    parts += [_passages, _tokens]
    shown = [part for make in (*parts, _words) if (part := make(found)) is not None]
    head = Text.assemble((name, "bold"), f"  {count_text(found.rows, found.noun)}: ")
    head.append(metrics_text(found.metrics))
    return Group(head, *(Padding(part, (1, 0, 0, 2), expand=False) for part in shown))


def _importance(found: Explanation) -> RenderableType | None:
    """A bar for each column."""
    if not found.importance:
        return None
    most = max(found.importance[0].mean, 1e-30)
    rows = []
    for one in found.importance[:_MOST_COLUMNS]:
        ends = f"{number_text(one.low)} to {number_text(one.high)}"
        rows.append((one.column, number_text(one.mean), ends, _bar(one.mean / most)))
    more = len(found.importance) - _MOST_COLUMNS
    title = f"column, and how much worse {found.metric} is without it (95 %)"
    if more > 0:
        title += f"; {count_text(more, 'column')} more matter less"
    return _titled(title, (), rows)


def _attribution(found: Explanation) -> RenderableType | None:
    """The mean size of the part of each column."""
    if found.attribution is None:
        return None
    sizes = mean_sizes(found.attribution)[:_MOST_COLUMNS]
    most = max(sizes[0][1], 1e-30)
    rows = [(name, number_text(size), _bar(size / most)) for name, size in sizes]
    title = "column, and the mean size of its part in an answer"
    if found.windows:
        title = "column, its mean part in the worst windows, and those of its steps"
        curves = _step_curves(found.attribution)
        rows = [(name, number_text(size), curves[name]) for name, size in sizes]
    gap = number_text(found.attribution.gap)
    return _titled(f"{title} (gap {gap})", (), rows)


def _step_curves(found: Attribution) -> dict[str, str]:
    """The mean size of the part of each step of a window, for each of its columns."""
    sizes = np.abs(found.parts).mean(0)
    return {
        name: sparkline(sizes[:, place].tolist(), 2 * _BAR)
        for place, name in enumerate(found.names)
    }


def _bar(share: float) -> str:
    return "\u2501" * max(0, round(_BAR * share))


def _confusion(found: Explanation) -> RenderableType | None:
    """The table of classes and answers, or its largest mistakes where classes are many."""
    if found.confusion is None:
        return None
    counts, names = found.confusion, found.classes
    if len(names) <= _MOST_CLASSES:
        rows = [
            (name, *(f"{number:,}" for number in row))
            for name, row in zip(names, counts.tolist(), strict=True)
        ]
        title = f"class, and the {found.judged}s that got each answer"
        return _titled(title, ("", *names), rows)
    wrong = [
        (int(counts[truth, answer]), names[truth], names[answer])
        for truth in range(len(names))
        for answer in range(len(names))
        if truth != answer and counts[truth, answer]
    ]
    worst = sorted(wrong, key=lambda one: -one[0])[:_MOST_CLASSES]
    rows = [(truth, answer, f"{number:,}") for number, truth, answer in worst]
    return _titled("the most frequent mistakes", ("class", "answer", f"{found.judged}s"), rows)


def _overlaps(found: Explanation) -> RenderableType | None:
    """A bar for the intersection over union of each class, the least first."""
    if not found.overlaps:
        return None
    named = [*zip(found.classes, found.overlaps, strict=True)]
    named.sort(key=lambda one: (math.isnan(one[1]), one[1]))
    rows = [
        (name, number_text(share), "" if math.isnan(share) else _bar(share))
        for name, share in named[:_MOST_COLUMNS]
    ]
    return _titled("class, and its intersection over union", (), rows)


def _calibration(found: Explanation) -> RenderableType | None:
    """How often the likeliest class is right, by its chance."""
    if found.errors is None:
        return None
    told = f"calibration error {number_text(found.errors['tempered'])}"
    if found.errors["raw"] != found.errors["tempered"]:
        told += f", without the temperature {number_text(found.errors['raw'])}"
    rows = [
        (
            f"{one.low:.2f} to {one.high:.2f}",
            f"{one.rows:,}",
            f"{one.chance:.3f}",
            f"{one.accuracy:.3f}",
        )
        for one in found.calibration
    ]
    return _titled(told, ("chance", f"{found.judged}s", "mean", "right"), rows)


def _worst(found: Explanation) -> RenderableType | None:
    """The rows that are answered worst."""
    if not found.worst:
        return None
    rows = [
        (one.file or f"{one.row:,}", one.truth, one.answer, number_text(one.loss))
        for one in found.worst
    ]
    heads = (found.noun, "truth", "answer", "loss")
    return _titled(f"the worst {found.noun}s", heads, rows)


def _words(found: Explanation) -> RenderableType | None:
    """The words that change the answers of some rows most."""
    rows = []
    for one in found.words[:_MOST_TEXTS]:
        places = sorted(range(len(one.words)), key=lambda place: -abs(one.parts[place]))
        told = [f"{one.words[p]} {one.parts[p]:+.3g}" for p in places[:_MOST_WORDS]]
        rows.append((f"{one.row:,}", one.column, ", ".join(told)))
    if not rows:
        return None
    heads = ("row", "column", "words")
    return _titled("the words whose absence changes the answer most, by how much", heads, rows)


def _windows(found: Explanation) -> RenderableType | None:
    """The windows whose forecasts are worst, with the first values ahead."""
    if not found.windows:
        return None
    ahead = len(found.windows[0].truth)
    steps = sorted({round(step) for step in np.linspace(1, ahead, min(ahead, _MOST_VALUES))})
    rows = [
        (
            one.time,
            ", ".join(f"{one.truth[step - 1]:.4g}" for step in steps),
            ", ".join(f"{one.forecast[step - 1]:.4g}" for step in steps),
            number_text(one.error),
        )
        for one in found.windows
    ]
    title = f"the worst windows: values {_listed(steps)} of {ahead} after a time"
    if ahead == 1:
        title = "the worst windows: the value after a time"
    return _titled(title, ("after", "truth", "forecast", "mean error"), rows)


def _listed(steps: Sequence[int]) -> str:
    """Numbers as a sentence has them: `1, 8 and 24`."""
    *first, last = map(str, steps)
    return f"{', '.join(first)} and {last}"


def _passages(found: Explanation) -> RenderableType | None:
    """The worst passages: how each begins, and its tokens with the largest losses."""
    rows = []
    for one in found.passages:
        places = sorted(range(len(one.tokens)), key=lambda place: -one.losses[place])
        told = [f"{_token(one.tokens[p])} {one.losses[p]:.3g}" for p in places[:_MOST_TOKENS]]
        start = _token(one.text)
        start = start if len(start) <= _MOST_SIGNS else f"{start[: _MOST_SIGNS - 1]}\u2026"
        rows.append((f"{one.row:,}", number_text(one.loss), start, ", ".join(told)))
    if not rows:
        return None
    heads = ("passage", "loss", "begins with", "largest losses")
    return _titled("the worst passages, by the mean loss of a token in nats", heads, rows)


def _tokens(found: Explanation) -> RenderableType | None:
    """The tokens that are answered badly most often."""
    if not found.tokens:
        return None
    rows = [
        (
            _token(one.token),
            f"{one.wrong:,} of {one.times:,}",
            _token(one.instead),
            number_text(one.loss),
        )
        for one in found.tokens
    ]
    heads = ("token", "wrong", "mostly answered", "mean loss")
    return _titled("the tokens that are answered badly most often", heads, rows)


def _token(text: str) -> str:
    """A token as people read it: in quotes, with `\\n` for the end of a line.

    A byte that is no character has a backslash of its own already: `\\xe2`.
    """
    return repr(text).replace("\\\\", "\\") if text else "unknown"


def _titled(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    if heads:
        table.add_row(*(Text(head, "dim") for head in heads))
    for row in rows:
        table.add_row(*map(Text, row))
    return Group(Text(title, "dim"), table)


def as_json(found: Explanation) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "rows": found.rows,
        "metrics": plain_metrics(found.metrics),
        "metric": found.metric,
        "importance": [
            {
                "column": one.column,
                "mean": _plain(one.mean),
                "low": _plain(one.low),
                "high": _plain(one.high),
            }
            for one in found.importance
        ],
        "attribution": None
        if found.attribution is None
        else {
            "sizes": dict(mean_sizes(found.attribution)),
            "gap": _plain(found.attribution.gap),
            **_steps(found.attribution),
        },
        "classes": [*found.classes],
        "confusion": None if found.confusion is None else found.confusion.tolist(),
        "iou": dict(zip(found.classes, map(_plain, found.overlaps), strict=False)),
        "calibration": [one._asdict() for one in found.calibration],
        "calibration_error": None if found.errors is None else plain_metrics(found.errors),
        "words": [
            {**one._asdict(), "parts": [_plain(part) for part in one.parts]} for one in found.words
        ],
        "passages": [_plain_values(one._asdict()) for one in found.passages],
        "tokens": [_plain_values(one._asdict()) for one in found.tokens],
        "windows": [_plain_values(one._asdict()) for one in found.windows],
        "worst": [{**one._asdict(), "loss": _plain(one.loss)} for one in found.worst],
    }


def _steps(found: Attribution) -> dict[str, Any]:
    """The mean sizes of the parts of the steps of a window, the earliest first; else nothing."""
    if found.parts.ndim != 3:
        return {}
    sizes = np.abs(found.parts).mean(0)
    return {"steps": dict(zip(found.names, sizes.T.tolist(), strict=True))}


def _plain_values(named: Mapping[str, Any]) -> dict[str, Any]:
    """Values and lists of values, with none in the place of numbers that are not finite."""

    def plain(value: Any) -> Any:
        return _plain(value) if isinstance(value, float) else value

    return {
        name: [*map(plain, value)] if isinstance(value, tuple) else plain(value)
        for name, value in named.items()
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
