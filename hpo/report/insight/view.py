"""What techniques did and how the winner fits, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import rich.text
from rich.console import RenderableType
from rich.table import Table

from hpo.report.console import Text
from hpo.report.insight.effects import Effects, Verdict
from hpo.report.insight.fit import Fit
from hpo.report.wording import number_text
from hpo.spec.words import count_text

_STYLES: dict[Verdict, str] = {"better": "green", "worse": "yellow", "no difference": "dim"}
_OF_GAPS: dict[Verdict, str] = {"better": "smaller", "worse": "larger"}


def effects_view(effects: Effects, metric: str) -> Iterator[RenderableType]:
    """A row for each technique: whether trials with it were better, and had a smaller gap.

    Nothing where there are too few trials: `hpo show` says so of the importance already.
    """
    table = Table.grid(padding=(0, 2))
    for one in effects.effects:
        figures = f"{metric} {number_text(one.on.value)} against {number_text(one.off.value)}"
        than = "to" if one.verdict == "no difference" else "than at"
        gap = rich.text.Text()
        if one.gap_verdict is not None:
            gaps = f"{number_text(one.on.gap)} against {number_text(one.off.gap)}"
            word = _OF_GAPS.get(one.gap_verdict, one.gap_verdict)
            gap = Text.assemble("gap: ", (word, _STYLES[one.gap_verdict]), f", {gaps}")
        table.add_row(
            Text(one.name, "dim"),
            Text.assemble((one.verdict, _STYLES[one.verdict]), f" {than} {one.without}"),
            Text(figures),
            gap,
        )
    if effects.effects:
        yield table
        yield Text(
            f"medians of {count_text(effects.trials, 'trial')} after "
            f"{count_text(effects.epochs, 'epoch')}; rank sum test at 5 % over all comparisons",
            "dim",
        )
    if effects.few:
        names = ", ".join(effects.few)
        yield Text(f"too few trials with or without: {names}", "dim")


def fit_text(fit: Fit) -> str:
    """Whether the winner under- or overfits, in a line; nothing where that is not known."""
    if fit.word is None:
        return ""
    losses = f"training loss {number_text(fit.train_loss)}, validation loss {number_text(fit.loss)}"
    return f"{fit.word}: {losses}; so do {fit.agree} of the {fit.best} best trials"
