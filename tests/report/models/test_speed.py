"""The table of `hpo bench`."""

from __future__ import annotations

from rich.console import Console

from hpo.report.models.speed import speed_view
from hpo.trained.exported.bench import Timing


def test_a_row_has_the_times_of_every_engine() -> None:
    timings = [
        Timing(engine, rows, milliseconds)
        for rows, jax, other in ((1, 0.5, 0.025), (512, 2.0, 1.0))
        for engine, milliseconds in (("jax", jax), ("onnxruntime", other))
    ]
    console = Console(width=80)
    with console.capture() as printed:
        console.print(speed_view(timings))
    lines = [line.split() for line in printed.get().splitlines()]
    assert lines == [
        ["rows", "at", "once", "jax,", "ms", "rows/s", "onnxruntime,", "ms", "rows/s"],
        ["1", "0.5", "2,000", "0.025", "40,000"],
        ["512", "2", "256,000", "1", "512,000"],
    ]
