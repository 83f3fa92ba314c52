"""What `hpo compress` shows: a model before and after."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from hpo.report.console import Text
from hpo.report.wording import number_text
from hpo.trained.compress import Compressed


def compressed_view(found: Compressed, before: Path, after: str) -> RenderableType:
    """The bytes of both models, and a row for each metric of each split; `after` may be a URL."""
    table = Table.grid(padding=(0, 2))
    heads = ("", before.name, Path(after).name, "change")
    table.add_row(*(Text(head, "dim", justify="right" if head else "left") for head in heads))
    times, change = found.bytes_before / found.bytes_after, "times fewer"
    if times < 1:
        times, change = 1 / times, "times as many"
    sizes = f"{found.bytes_before:,}", f"{found.bytes_after:,}", f"{times:.1f} {change}"
    table.add_row(Text("bytes", "dim"), *(Text(text, justify="right") for text in sizes))
    for split, old in found.before.items():
        new = found.after.get(split)
        for name in old or {}:
            if new is None or name not in new or "/" in name:
                continue
            assert old is not None
            change = f"{new[name] - old[name]:+.4f}"
            cells = number_text(old[name]), number_text(new[name]), change
            row = (Text(text, justify="right") for text in cells)
            table.add_row(Text(f"{split} {name}", "dim"), *row)
    note = (
        ""
        if found.is_comparable
        else (
            "\n  The data have changed since the first training, so the metrics are of other rows."
        )
    )
    return Group(
        Text.assemble((before.name, "bold"), "  compressed"),
        Padding(table, (0, 0, 0, 2), expand=False),
        Text(f"{note}\n  {after}/ holds weights, metrics.json and spec.yaml."),
    )
