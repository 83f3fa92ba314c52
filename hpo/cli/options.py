"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpo.cli import completion
from hpo.errors import HpoError


def _require_a_url(url: str | None) -> str | None:
    if url == "":
        raise HpoError("--storage: is empty: give a database URL such as sqlite:///hpo.db.")
    return url


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


def _place(written: str) -> str:
    """A folder or a URL without a slash at its end."""
    return written.rstrip("/") if "://" in written else str(Path(written))


ModelFolder = Annotated[
    str,
    typer.Option(
        "-o",
        "--out",
        metavar="DIR",
        help="Folder to write, or its URL.",
        parser=_place,
        autocompletion=completion.files,
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
    str | None,
    typer.Option("--storage", metavar="URL", help="Database of studies.", callback=_require_a_url),
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
TrustCode = Annotated[
    bool,
    typer.Option("--trust-code", help="Run own code that has changed since the study began."),
]
Explain = Annotated[bool, typer.Option("--explain", help="Explain how programs are run.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
