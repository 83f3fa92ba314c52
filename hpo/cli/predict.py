"""The command `hpo predict`: answers for new rows, or a text that goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from hpo.cli import completion
from hpo.cli.models import LINE_SECONDS, TrainedFolder, TrustModel, print_notes
from hpo.cli.options import AsJson, Device, Force, Quiet
from hpo.cli.output import print_json, print_line
from hpo.errors import HpoError

if TYPE_CHECKING:
    from hpo.trained.ensembles.ensemble import Answering  # imports JAX
    from hpo.trained.model import Model

_MOST_BATCH = 10**9

NewDataFile = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]",
        help="The new data: a file, a folder, their URL, or a text to go on with.",
        autocompletion=completion.files,
    ),
]
AnswersFile = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        help="File to write, .csv, .jsonl, .parquet, .npz or .txt; - for standard output.",
        autocompletion=completion.files,
    ),
]
OnUnknown = Annotated[
    Literal["keep", "refuse"],
    typer.Option(help="What becomes of rows with a category that no training row has."),
]


def predict(
    model: TrainedFolder,
    data: NewDataFile = None,
    out: AnswersFile = Path("-"),
    score: Annotated[
        bool, typer.Option("--score", help="Judge the answers by the target in DATA, and print it.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Give the chances without the fitted temperature.")
    ] = False,
    batch: Annotated[
        str, typer.Option(help="Rows in memory at once: auto, as many as fit, or a number.")
    ] = "auto",
    on_unknown: OnUnknown = "keep",
    prompt: Annotated[
        str | None,
        typer.Option(help="A text for a language model to go on with, instead of DATA."),
    ] = None,
    length: Annotated[
        int, typer.Option(help="Tokens that a language model writes.", min=1, max=1_000_000)
    ] = 200,
    temperature: Annotated[
        float, typer.Option(help="Of drawn tokens: 0 writes the likeliest ones.", min=0, max=100)
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of drawn tokens.", min=0)] = 0,
    device: Device = None,
    force: Force = False,
    trust_code: TrustModel = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Answer for new rows with a model, or go on with a text.

    Example: hpo predict model/ new.csv -o answers.csv
    """
    if as_json and str(out) == "-":
        raise HpoError("--json: standard output has the answers: give them a file with -o FILE.")
    from hpo.trained.writing import ENDINGS, check_out

    at_once = _batch_of(batch)
    check_out(out, replace=force, endings=(*ENDINGS, ".txt"))
    from hpo.trained.ensembles.ensemble import load_answering  # imports JAX

    loaded = load_answering(model, device, is_trusted=trust_code)
    watch = None if quiet else _telling
    if loaded.description.task == "language":
        from hpo.trained.kinds.text import language_model

        writing = Writing(prompt, length, temperature, seed)
        told = _go_on(
            language_model(loaded, model), data, out, score=score, writing=writing, watch=watch
        )
    elif data is None or prompt is not None:
        raise HpoError(f"{model}: answers for rows: give a file of new data, and no --prompt.")
    else:
        how = How(score, raw, at_once, on_unknown == "refuse")
        told = _answer(loaded, data, out, how, watch=watch)
    _tell(told, out, as_json=as_json)


class How(NamedTuple):
    """How a model answers for rows: judged or not, with raw chances, `batch` at once.

    It may refuse rows with categories that no training row has.
    """

    is_judged: bool
    is_raw: bool
    batch: int | None
    refuses_unknown: bool


def _batch_of(text: str) -> int | None:
    """The rows that `--batch` asks for; None for as many as fit.

    Raises:
        HpoError: for another text.
    """
    if text == "auto":
        return None
    if text.isascii() and text.isdecimal() and 0 < (rows := int(text[:12])) <= _MOST_BATCH:
        return rows
    from hpo.spec.words import shown

    raise HpoError(f"--batch {shown(text)}: is no number of rows: give auto, or 1 or more.")


class Writing(NamedTuple):
    """How a language model goes on with a text."""

    prompt: str | None
    tokens: int
    temperature: float
    seed: int


Watch = Callable[[int, str], Callable[[int], None]]


def _answer(
    model: Answering, data: str, out: Path, how: How, *, watch: Watch | None
) -> dict[str, Any]:
    """Answer for rows, and give what there is to tell."""
    from hpo.trained.blocks import told_where_exhausted
    from hpo.trained.predict import answers, read_new
    from hpo.trained.remote import local_data
    from hpo.trained.writing import check_columns_out, write_answers

    check_columns_out(out, are_masks=model.description.task == "segmentation")
    there = local_data(data)
    with told_where_exhausted(there, "its rows were read"):
        new = read_new(model, there, with_target=how.is_judged)
    if how.refuses_unknown and new.unknown:
        told = new.unknown[0].removesuffix(": predicted without it.")
        raise HpoError(f"{told}: correct it, or leave out --on-unknown refuse.")
    if watch:
        print_notes(new.notes)
    with told_where_exhausted(there, "its rows were judged, 512 at once as in training"):
        found = model.score(new.source) if how.is_judged else None
    look = watch(new.rows, "row") if watch else _nothing
    write_answers(out, answers(model, new, how.batch, look, is_raw=how.is_raw))
    return {"rows": new.rows, "notes": [*new.notes], "score": found}


def _go_on(
    model: Model,
    place: str | None,
    out: Path,
    *,
    score: bool,
    writing: Writing,
    watch: Watch | None,
) -> dict[str, Any]:
    """Judge a text or go on with it, and give what there is to tell."""
    from hpo.trained.kinds.text import prompt_in, text_score, written
    from hpo.trained.remote import local_data
    from hpo.trained.writing import check_text_out, write_text

    prompt, data = writing.prompt, None if place is None else local_data(place)
    if (data is None) == (prompt is None):
        raise HpoError(f"{model.folder}: goes on with a text: give a file, or --prompt TEXT.")
    if score:
        if data is None:
            raise HpoError("--score: judges a text in a file: give one, and no --prompt.")
        return {"rows": None, "notes": [], "score": text_score(model, data)}
    check_text_out(out)
    start = prompt_in(model, data) if data is not None else prompt or ""
    look = watch(writing.tokens, "token") if watch else _nothing
    text = written(model, start, writing.tokens, writing.temperature, writing.seed, look)
    write_text(out, text)
    return {"tokens": writing.tokens, "notes": [], "score": None}


def _tell(told: dict[str, Any], out: Path, *, as_json: bool) -> None:
    from hpo.report.training import metrics_text
    from hpo.spec.words import count_text
    from hpo.trained.save import plain_metrics

    score = told["score"]
    if as_json:
        plain = None if score is None else plain_metrics(score)
        print_json({**told, "file": str(out), "score": plain})
        return
    count = next((told[kind] for kind in ("rows", "tokens") if kind in told), None)
    if score is not None:
        print_line(f"score: {metrics_text(score)}", is_stderr=str(out) == "-" and count is not None)
    if str(out) != "-" and count is not None:
        print_line(f"{count_text(count, 'row' if 'rows' in told else 'token')} -> {out}")


def _nothing(_: int) -> None:
    """Tells nothing."""


def _telling(whole: int, what: str) -> Callable[[int], None]:
    """A function that prints, now and then, how many rows or tokens are done."""
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if done < whole and time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            print_line(f"answered {done:,} of {whole:,} {what}s", is_stderr=True)

    return tell
