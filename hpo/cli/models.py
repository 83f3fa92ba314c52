"""The commands that use a trained model: `hpo predict` and `hpo export-model`."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hpo.cli import completion
from hpo.cli.options import AsJson, Device, Force, Quiet
from hpo.cli.output import print_json, print_line, stderr
from hpo.errors import HpoError

_LINE_SECONDS = 10.0

TrainedFolder = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="The folder that hpo train wrote.", autocompletion=completion.files
    ),
]
NewDataFile = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="The new data: a file, or a folder of images.",
        autocompletion=completion.files,
    ),
]
AnswersFile = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        help="File to write, .csv, .jsonl or .parquet; - for standard output.",
        autocompletion=completion.files,
    ),
]
TrustModel = Annotated[
    bool, typer.Option("--trust-code", help="Run the code of your own that the model names.")
]


class Format(StrEnum):
    """What `hpo export-model` writes."""

    ONNX = "onnx"
    STABLEHLO = "stablehlo"


def predict(
    model: TrainedFolder,
    data: NewDataFile,
    out: AnswersFile = Path("-"),
    score: Annotated[
        bool, typer.Option("--score", help="Judge the answers by the target in DATA, and print it.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Rows that the model takes at once.", min=1)] = 512,
    device: Device = None,
    force: Force = False,
    trust_code: TrustModel = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer for the rows of new data with a trained model.

    Example: hpo predict model/ new.csv -o answers.csv
    """
    if as_json and str(out) == "-":
        raise HpoError("--json: standard output has the answers: give them a file with -o FILE.")
    from hpo.report.training import metrics_text
    from hpo.spec.words import count_text
    from hpo.trained.save import plain_metrics
    from hpo.trained.writing import check_out, write_answers

    check_out(out, replace=force)
    console = stderr()
    from hpo.trained.model import load_model  # imports JAX
    from hpo.trained.predict import answers, read_new

    loaded = load_model(model, device, is_trusted=trust_code)
    new = read_new(loaded, data, with_target=score)
    rows = len(new.source)
    if not quiet:
        for note in new.notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)
    found = loaded.score(new.source) if score else None
    write_answers(out, answers(loaded, new, batch, _telling(rows, is_quiet=quiet)))
    if as_json:
        score_of = None if found is None else plain_metrics(found)
        print_json({"rows": rows, "file": str(out), "notes": [*new.notes], "score": score_of})
        return
    if found is not None:
        print_line(f"score: {metrics_text(found)}", is_stderr=str(out) == "-")
    if str(out) != "-":
        print_line(f"{count_text(rows, 'row')} -> {out}")


def export_model(
    model: TrainedFolder,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="What to write: a folder for onnx, a file for stablehlo.",
            autocompletion=completion.files,
        ),
    ],
    form: Annotated[
        Format,
        typer.Option(
            "--format", help="onnx runs in onnxruntime alone; stablehlo takes encoded numbers."
        ),
    ] = Format.ONNX,
    rows: Annotated[
        Path | None,
        typer.Option(
            "--rows",
            metavar="FILE",
            help="Rows on which answers are compared; else those that validate.",
            autocompletion=completion.files,
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="The largest difference that is written.", min=0)
    ] = 1e-5,
    device: Device = None,
    force: Force = False,
    trust_code: TrustModel = False,
    as_json: AsJson = False,
) -> None:
    """Write a trained model as ONNX or StableHLO.

    Example: hpo export-model model/ -o exported/
    """
    from hpo.api.surroundings import data_home
    from hpo.trained.exported import folder

    if form is Format.ONNX:
        folder.needs_extra()
    from hpo.trained.model import load_model  # imports JAX

    loaded = load_model(model, device, is_trusted=trust_code)
    source = folder.rows_to_compare(loaded, rows, (Path.cwd(), model.parent), data_home())
    export = folder.export_onnx if form is Format.ONNX else folder.export_stablehlo
    found = export(loaded, out, source, tolerance, is_replaced=force)
    if as_json:
        print_json({"out": str(out), **found._asdict()})
        return
    print_line(
        f"{out}: {found.size:,} bytes; {found.rows:,} rows compared, and the largest difference is "
        f"{found.difference:.2g}"
    )


def _telling(rows: int, *, is_quiet: bool) -> Callable[[int], None]:
    """A function that prints, now and then, how many rows are answered."""
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if not is_quiet and done < rows and time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            print_line(f"answered {done:,} of {rows:,} rows", is_stderr=True)

    return tell
