"""How fast a trained model answers, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table

from hpo.trained.exported.bench import Timing


def speed_view(timings: Sequence[Timing]) -> RenderableType:
    """A row for each number of rows at once; two columns for each engine."""
    engines = [*dict.fromkeys(one.engine for one in timings)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("rows at once", justify="right")
    for engine in engines:
        table.add_column(f"{engine}, ms", justify="right")
        table.add_column("rows/s", justify="right")
    for rows in dict.fromkeys(one.rows for one in timings):
        own = {one.engine: one for one in timings if one.rows == rows}
        cells = [
            text
            for engine in engines
            for text in (f"{own[engine].milliseconds:.3g}", f"{own[engine].rows_a_second:,.0f}")
        ]
        table.add_row(str(rows), *cells)
    return table
