"""`hpo init`: a first spec from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hpo.api.surroundings import data_home
from hpo.cli import completion
from hpo.cli.options import Force
from hpo.cli.output import print_line
from hpo.errors import HpoError

_Data = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]", help="A table, or a folder of data.", autocompletion=completion.files
    ),
]
_From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="A sweep of W&B, whose script the spec runs, or a config of Ludwig for DATA.",
        autocompletion=completion.files,
    ),
]
_Target = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="COLUMN",
        help="The column to predict; repeatable. By default the likeliest one.",
    ),
]
_Time = Annotated[
    str | None, typer.Option(help="Training time that the search may take: 90s, 10m, 1h30m.")
]
_Preset = Annotated[Literal["quick", "good", "best"], typer.Option(help="How large a search is.")]
_SpecFile = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        help="File to write; by default the name of the data, with .yaml.",
        autocompletion=completion.files,
    ),
]


def init(
    data: _Data = None,
    target: _Target = None,
    source: _From = None,
    time: _Time = None,
    preset: _Preset = "good",
    out: _SpecFile = None,
    force: Force = False,
) -> None:
    """Write a first spec for a file.

    It says types, empty cells, task, metric, split, model, ranges and budget, each with a reason.

    Example: hpo init houses.csv --target price
    """
    from hpo.api.starting import first_spec
    from hpo.report.export import write_new
    from hpo.report.init.draft import study_name
    from hpo.report.init.wording import found_lines, written_lines
    from hpo.spec.sections.search import duration_seconds

    try:
        timeout = None if time is None else duration_seconds(time)
    except ValueError as error:
        raise HpoError(f"--time: {time} {error}.") from None
    if data is None and source is None:
        raise HpoError("hpo init: there is nothing to look at: give DATA, or --from sweep.yaml.")
    named = Path(data).name if data is not None else f"{source.stem}-hpo" if source else ""
    out = out or Path(f"{study_name(named)}.yaml")
    if out.exists() and not force:
        raise HpoError(f"{out}: exists: name another file with -o, or --force to replace it.")
    made = first_spec(
        data,
        out,
        data_home(),
        targets=target or (),
        preset=preset,
        timeout=timeout,
        source=source,
    )
    write_new(out, made.text, replace=force)
    lines = [] if made.overview is None else found_lines(made.overview)
    lines += [f"  no place for {line}" for line in made.lost]
    for line in [*lines, *written_lines(made.budget, str(out))]:
        print_line(line)
