"""A trained model for other programs: `hpo export-model`, and how fast it is: `hpo bench`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hpo.cli import completion
from hpo.cli.models import TrainedFolder, TrustModel
from hpo.cli.options import AsJson, Device, Force
from hpo.cli.output import own_prints_apart, print_json, print_line, print_view

if TYPE_CHECKING:
    from hpo.trained.exported.folder import Exported  # imports JAX


class Format(StrEnum):
    """What `hpo export-model` writes."""

    ONNX = "onnx"
    STABLEHLO = "stablehlo"


Out = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        metavar="PATH",
        help="What to write: a folder for onnx, a file for stablehlo.",
        autocompletion=completion.files,
    ),
]
BitsOfNetwork = Annotated[
    Literal["float32", "float16", "int8"],
    typer.Option(
        "--precision",
        help="Of the network; int8 keeps the levels of a model that trained in few bits.",
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        help="Refuse a larger difference; default 1e-5 (float32), 0.02 (float16), 0.25 (int8).",
        min=0,
    ),
]


def export_model(
    model: TrainedFolder,
    out: Out,
    form: Annotated[
        Format,
        typer.Option(
            "--format", help="onnx runs in onnxruntime alone; stablehlo takes encoded numbers."
        ),
    ] = Format.ONNX,
    rows: Annotated[
        str | None,
        typer.Option(
            "--rows",
            metavar="DATA",
            help="Rows on which answers are compared; else those that validate.",
            autocompletion=completion.files,
        ),
    ] = None,
    precision: BitsOfNetwork = "float32",
    tolerance: Tolerance = None,
    device: Device = None,
    force: Force = False,
    trust_code: TrustModel = False,
    as_json: AsJson = False,
) -> None:
    """Write a trained model as ONNX or StableHLO.

    Example: hpo export-model model/ -o exported/
    """
    from hpo.api.models import exporting

    with own_prints_apart():
        found = exporting.export_model(
            model,
            out,
            format=form.value,
            rows=rows,
            precision=precision,
            tolerance=tolerance,
            device=device,
            force=force,
            trust_code=trust_code,
        )
    if as_json:
        print_json({"out": str(out), "precision": precision, **found._asdict()})
        return
    _tell(found, out, has_folds=rows is None and found.metrics is None)


def _tell(found: Exported, out: Path, *, has_folds: bool) -> None:
    from hpo.spec.words import count_text
    from hpo.trained.exported.comparing import loss_text

    print_line(
        f"{out}: {found.size:,} bytes; {count_text(found.rows, 'row')} compared, and the largest "
        f"difference is {found.difference:.2g}"
    )
    if found.kept is not None:
        print_line(f"int8: the levels of {found.kept} are those of the model")
    if found.rows_apart:
        print_line(
            f"{count_text(found.rows_apart, 'row')} differ{'s' * (found.rows_apart == 1)} by more "
            "than 1e-05: a number between two levels fell on the other one"
        )
    if found.units is not None:
        whole, left, stay = found.units.values()
        others = f"{stay:,} of those left are cut, too" if stay else "the others are cut"
        print_line(f"units: {whole:,} -> {left:,}; {others}")
    if has_folds:
        print_line("no metrics are told: every row of its folds has trained a member")
    if found.metrics is not None:
        print_line(f"validation: {loss_text(found.metrics)}")


def bench(
    model: TrainedFolder,
    device: Device = None,
    trust_code: TrustModel = False,
    as_json: AsJson = False,
) -> None:
    """Measure how fast a trained model answers, by engine.

    Example: hpo bench model/
    """
    from hpo.api.models.exporting import run_bench
    from hpo.report.models.speed import speed_view

    def say(text: str) -> None:
        print_line(text, is_stderr=True)

    with own_prints_apart():
        found = run_bench(model, say, device=device, trust_code=trust_code)
    if as_json:
        print_json([one._asdict() for one in found])
        return
    print_view(speed_view(found))
