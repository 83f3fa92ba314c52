"""Options that several commands share, and where their output goes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo.cli import completion

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Replace a leaf of the spec; repeatable.",
        autocompletion=completion.overrides,
    ),
]
SpecPath = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC", help="The experiment, a YAML file.", autocompletion=completion.files
    ),
]
StudyName = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="The study's name.", autocompletion=completion.studies),
]
ModelFolder = Annotated[
    Path,
    typer.Option(
        "-o", "--out", metavar="DIR", help="Folder to write.", autocompletion=completion.files
    ),
]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        help="File to write; else stdout.",
        autocompletion=completion.files,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]
Trials = Annotated[
    int | None, typer.Option(help="Trials of the study in total, instead of search.trials.", min=1)
]
Timeout = Annotated[
    str | None,
    typer.Option(help="Training time in total, instead of search.timeout: 90s, 10m, 1h30m."),
]
StorageUrl = Annotated[
    str | None, typer.Option("--storage", metavar="URL", help="Database of studies.")
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What to train on: cpu, gpu, tpu or another platform that JAX has a plugin for.",
        autocompletion=completion.devices,
    ),
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="DIR",
        help="Write a trace of a few seconds of training into this folder.",
        autocompletion=completion.files,
    ),
]
Explain = Annotated[bool, typer.Option("--explain", help="Explain how programs are run.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def print_json(document: Any) -> None:
    """Print plain values to stdout."""
    typer.echo(json.dumps(document, indent=2))


def print_view(view: RenderableType) -> None:
    """Print a result to stdout; without a terminal, wide and without trailing spaces."""
    console = _console(is_stderr=False)
    if console.is_terminal:
        console.print(view)
        return
    with console.capture() as capture:
        console.print(view)
    typer.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def stderr() -> Console:
    """The console for progress and warnings, including those of libraries."""
    console = _console(is_stderr=True)
    logging.basicConfig(level=logging.WARNING, handlers=[_OneLine(console)], force=True)
    return console


def _console(*, is_stderr: bool) -> Console:
    from rich.console import Console

    console = Console(stderr=is_stderr, highlight=False)
    if not console.is_terminal:
        console.width = 1_000
    return console


class _OneLine(logging.Handler):
    """Prints each record on one line, above a live display if there is one."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        from rich.text import Text

        sentence = " ".join(record.getMessage().split())
        text = Text(f"{record.levelname.lower()}: {sentence}", "yellow")
        self._console.print(text, soft_wrap=True)
