"""Regrets as a table of text and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .replay import MARKS_PER_TRAINING


class Row(NamedTuple):
    """The regret of a search on a family: `mean[k]` is that after the k-th mark of `Track`."""

    family: str
    search: str
    problems: int
    seeds: int
    mean: list[float]
    error: list[float]


def text_table(rows: Sequence[Row], at: Sequence[int]) -> str:
    """Regrets in percent, with their standard errors, as a table in Markdown."""
    lines = [
        f"| family | search | {' | '.join(f'at {trainings}' for trainings in at)} |",
        f"|---|---|{'---:|' * len(at)}",
    ]
    for row in rows:
        cells = [
            f"{100 * row.mean[mark]:.1f} ± {100 * row.error[mark]:.1f}"
            for mark in (trainings * MARKS_PER_TRAINING - 1 for trainings in at)
        ]
        lines.append(f"| {row.family} | {row.search} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(rows: Sequence[Row], file: Path) -> None:
    """A panel for each family: regret against full trainings' worth of epochs."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    families = list(dict.fromkeys(row.family for row in rows))
    figure, panels = pyplot.subplots(
        1, len(families), figsize=(4.2 * len(families), 3.6), squeeze=False, layout="constrained"
    )
    for panel, family in zip(panels[0], families, strict=True):
        for row in rows:
            if row.family == family:
                x = [(mark + 1) / MARKS_PER_TRAINING for mark in range(len(row.mean))]
                low, high = (
                    [m + sign * e for m, e in zip(row.mean, row.error, strict=True)]
                    for sign in (-1, 1)
                )
                (line,) = panel.plot(x, row.mean, label=row.search, linewidth=1.4)
                panel.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        panel.set(title=family, xlabel="epochs, in full trainings", ylim=(0, None))
    panels[0][0].set_ylabel("regret (1 = a typical random configuration)")
    panels[0][-1].legend(fontsize=7)
    figure.savefig(file, dpi=90)
    pyplot.close(figure)
