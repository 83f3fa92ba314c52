"""The command `hpo predict`: answers for new rows, or a text that goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from hpo.cli import completion
from hpo.cli.models import LINE_SECONDS, TrainedFolder, TrustModel, print_notes
from hpo.cli.options import AsJson, Device, Force, Quiet
from hpo.cli.output import own_prints_apart, print_json, print_line
from hpo.errors import HpoError

if TYPE_CHECKING:
    from hpo.trained.ensembles.ensemble import Answering  # imports JAX
    from hpo.trained.model import Model
    from hpo.trained.writing import Columns

_MOST_BATCH = 10**9
# That a language model writes if nothing else is asked for.
_TOKENS = 200

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
    Literal["keep", "refuse"] | None,
    typer.Option(help="Rows with a category that no training row has are answered (default keep)."),
]

RowsAtOnce = Annotated[
    str | None,
    typer.Option(help="Rows in memory at once: a number, or auto, as many as fit (default)."),
]
Length = Annotated[
    int | None,
    typer.Option(help=f"Tokens that a language model writes ({_TOKENS}).", min=1, max=1_000_000),
]
Temperature = Annotated[
    float | None,
    typer.Option(help="Of drawn tokens: 0 writes the likeliest ones (1).", min=0, max=100),
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
    batch: RowsAtOnce = None,
    on_unknown: OnUnknown = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="A text for a language model to go on with, instead of DATA."),
    ] = None,
    length: Length = None,
    temperature: Temperature = None,
    seed: Annotated[int | None, typer.Option(help="Of drawn tokens (0).", min=0)] = None,
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

    with own_prints_apart():
        loaded = load_answering(model, device, is_trusted=trust_code)
    of_rows = {"--raw": raw or None, "--batch": batch, "--on-unknown": on_unknown}
    of_texts = {"--length": length, "--temperature": temperature, "--seed": seed}
    watch = None if quiet else _telling
    if loaded.description.task == "language":
        from hpo.trained.kinds.text import language_model

        _check_lack(of_rows, "models that answer for rows")
        writing = Writing.of(prompt, length, temperature, seed)
        summary = _go_on(
            language_model(loaded, model), data, out, score=score, writing=writing, watch=watch
        )
    elif data is None or prompt is not None:
        raise HpoError(f"{model}: answers for rows: give a file of new data, and no --prompt.")
    else:
        _check_lack(of_texts, "language models")
        if not loaded.description.features.texts:
            _check_lack({"--on-unknown": on_unknown}, "models with columns of categories")
        how = How(score, raw, at_once, on_unknown == "refuse")
        summary = _answer(loaded, data, out, how, watch=watch)
    _tell(summary, out, as_json=as_json)


class How(NamedTuple):
    """How a model answers for rows: judged or not, with raw chances, `batch` at once.

    It may refuse rows with categories that no training row has.
    """

    is_judged: bool
    is_raw: bool
    batch: int | None
    refuses_unknown: bool


def _check_lack(options: Mapping[str, object], whose: str) -> None:
    """Refuse options that a model does not read.

    Raises:
        HpoError: for the first that is given.
    """
    for name, value in options.items():
        if value is not None:
            raise HpoError(f"{name}: is for {whose}, and this is none: leave it out.")


def _batch_of(text: str | None) -> int | None:
    """The rows that `--batch` asks for; None for as many as fit.

    Raises:
        HpoError: for another text.
    """
    if text in (None, "auto"):
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

    @classmethod
    def of(
        cls, prompt: str | None, tokens: int | None, temperature: float | None, seed: int | None
    ) -> Writing:
        """That of options, of which some may be left out."""
        heat = 1.0 if temperature is None else temperature
        return cls(prompt, _TOKENS if tokens is None else tokens, heat, seed or 0)


Watch = Callable[[int, str], Callable[[int], None]]


def _answer(
    model: Answering, data: str, out: Path, how: How, *, watch: Watch | None
) -> dict[str, Any]:
    """Answer for rows, and give what there is to tell."""
    from hpo.trained.predict import answers, read_new
    from hpo.trained.remote import local_data
    from hpo.trained.writing import check_columns_out, write_answers

    check_columns_out(out, are_masks=model.description.task == "segmentation")
    there = local_data(data)
    with own_prints_apart():
        new = read_new(model, there, with_target=how.is_judged)
    if how.refuses_unknown and new.unknown:
        cure = "correct them, or leave out --on-unknown refuse."
        raise HpoError(f"{'; '.join(new.unknown)}: {cure}")
    if watch:
        print_notes(new.notes)
    with own_prints_apart():
        found = model.score(new.source) if how.is_judged else None
    look = watch(new.rows, "row") if watch else _nothing
    write_answers(out, _computed(answers(model, new, how.batch, look, is_raw=how.is_raw)))
    return {"rows": new.rows, "notes": [*new.notes], "score": found}


def _computed(pieces: Iterator[Columns]) -> Iterator[Columns]:
    """The same pieces, each computed apart from what is printed while it is written."""
    while True:
        with own_prints_apart():
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


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

    prompt = writing.prompt
    if (place is None) == (prompt is None):
        raise HpoError(f"{model.folder}: goes on with a text: give a file, or --prompt TEXT.")
    if score and place is None:
        raise HpoError("--score: judges a text in a file: give one, and no --prompt.")
    if not score:
        check_text_out(out)
    data = None if place is None else local_data(place)
    look = watch(writing.tokens, "token") if watch else _nothing
    with own_prints_apart():
        if score and data is not None:
            return {"rows": None, "notes": [], "score": text_score(model, data)}
        start = prompt_in(model, data) if data is not None else prompt or ""
        text = written(model, start, writing.tokens, writing.temperature, writing.seed, look)
    write_text(out, text)
    return {"tokens": writing.tokens, "notes": [], "score": None}


def _tell(summary: dict[str, Any], out: Path, *, as_json: bool) -> None:
    from hpo.report.training import metrics_text
    from hpo.spec.words import count_text
    from hpo.trained.save import plain_metrics

    score = summary["score"]
    if as_json:
        plain = None if score is None else plain_metrics(score)
        print_json({**summary, "file": str(out), "score": plain})
        return
    count = next((summary[kind] for kind in ("rows", "tokens") if kind in summary), None)
    if score is not None:
        print_line(f"score: {metrics_text(score)}", is_stderr=str(out) == "-" and count is not None)
    if str(out) != "-" and count is not None:
        print_line(f"{count_text(count, 'row' if 'rows' in summary else 'token')} -> {out}")


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
