"""What `hpo ensemble` shows: the winner alone, beside the means of the best trials."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from hpo.report.console import Text
from hpo.report.wording import number_text, seconds_text
from hpo.spec.words import count_text
from hpo.trained.ensembles.write import ENSEMBLES, Ensembled
from hpo.trained.save import plain_splits


def ensemble_view(made: Ensembled, folder: str) -> RenderableType:
    """The metrics of each split, a row each for the winner and the means, and the shares."""
    table = Table.grid(padding=(0, 2))
    first = next(iter(made.compared.values()))
    splits = [split for split, metrics in first.items() if metrics is not None]
    names = list(first[splits[0]] or ())
    heads = [Text(f"{split} {name}", "dim", justify="right") for split in splits for name in names]
    table.add_row("", *heads)
    for row, metrics in made.compared.items():
        numbers = [(metrics[split] or {}).get(name) for split in splits for name in names]
        style = "bold" if row == made.kept else "dim"
        cells = (Text(number_text(value), justify="right") for value in numbers)
        table.add_row(Text(row, style), *cells)
    shares = ", ".join(f"trial {number} {share:.0%}" for number, share in made.members.items())
    trials = count_text(len(made.shares), "trial")
    if len(made.members) < len(made.shares):
        trials = f"{len(made.members)} of {trials}"
    what = "ensemble" if made.kept in ENSEMBLES else "soup"
    whole = made.kept if made.kept not in ENSEMBLES else f"{made.kept} ensemble"
    return Group(
        Text.assemble((made.name, "bold"), f"  {what} of {trials} in {seconds_text(made.seconds)}"),
        Padding(table, (0, 0, 0, 2), expand=False),
        Padding(Text.assemble((made.kept, "dim"), f"  {shares}"), (0, 0, 0, 2), expand=False),
        Text(f"\n  {folder}/ holds the {whole}: hpo predict {folder} new.csv"),
    )


def as_json(made: Ensembled, folder: str) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "name": made.name,
        "folder": str(folder),
        "kept": made.kept,
        "tried": len(made.shares),
        "shares": {str(number): share for number, share in made.members.items()},
        "compared": {name: plain_splits(metrics) for name, metrics in made.compared.items()},
        "temperature": made.temperature,
        "calibration_error": plain_splits(made.calibration),
    }
