"""The commands of trained models: `hpo predict` and `hpo ensemble`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hpo.cli import completion
from hpo.cli.options import (
    AsJson,
    Device,
    Force,
    ModelFolder,
    Quiet,
    StorageUrl,
    StudyName,
    TrustCode,
)
from hpo.cli.output import print_ending, print_json, print_line, stderr
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


def predict(
    model: TrainedFolder,
    data: NewDataFile,
    out: AnswersFile = Path("-"),
    score: Annotated[
        bool, typer.Option("--score", help="Judge the answers by the target in DATA, and print it.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Give the chances without the fitted temperature.")
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
    from hpo.trained.ensembles.ensemble import load_answering  # imports JAX
    from hpo.trained.predict import answers, read_new

    loaded = load_answering(model, device, is_trusted=trust_code)
    new = read_new(loaded, data, with_target=score)
    rows = len(new.source)
    if not quiet:
        for note in new.notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)
    found = loaded.score(new.source) if score else None
    watch = _telling(rows, is_quiet=quiet)
    write_answers(out, answers(loaded, new, batch, watch, is_raw=raw))
    if as_json:
        score_of = None if found is None else plain_metrics(found)
        print_json({"rows": rows, "file": str(out), "notes": [*new.notes], "score": score_of})
        return
    if found is not None:
        print_line(f"score: {metrics_text(found)}", is_stderr=str(out) == "-")
    if str(out) != "-":
        print_line(f"{count_text(rows, 'row')} -> {out}")


def ensemble(
    study: StudyName,
    out: ModelFolder,
    top: Annotated[int, typer.Option(help="How many of the best trials to train.", min=1)] = 5,
    mean: Annotated[
        bool, typer.Option("--mean", help="Give all trials the same share in the mean.")
    ] = False,
    storage: StorageUrl = None,
    device: Device = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that DIR holds.")] = False,
    trust_code: TrustCode = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train the best trials again; keep a model of their mean.

    Example: hpo ensemble digits --top 5 -o model5/
    """
    from hpo.api.running import run_ensemble
    from hpo.api.winning import Winner, best_trials
    from hpo.report.models import ensemble as report
    from hpo.report.training import EpochDisplay
    from hpo.spec.words import count_text
    from hpo.study.signals import StoppedError, stop_signals

    trials, objective = best_trials(study, storage, top, trust_code=trust_code)
    console, say = stderr(), _saying(is_quiet=quiet)

    def show(trial: Winner) -> EpochDisplay:
        say(f"Trains trial {trial.number} ({trials.index(trial) + 1} of {len(trials)}).")
        train: Any = trial.experiment.training.train
        epochs = getattr(train, "until", None) or train.epochs
        return EpochDisplay(console, f"{study}, trial {trial.number}", epochs, quiet)

    if len(trials) < top:
        say(f"{study} has {count_text(len(trials), 'trial')} that can be trained again.")
    with stop_signals(lambda text: print_line(text, is_stderr=True)) as stop:
        try:
            made = run_ensemble(
                trials,
                objective,
                out,
                show,
                say,
                stop,
                device=device,
                force=force,
                mean=mean,
                trust_code=trust_code,
            )
        except StoppedError as stopped:
            print_line(str(stopped), is_stderr=True)
            raise typer.Exit(128 + stopped.signal) from None
    if as_json:
        print_json(report.as_json(made, out))
    else:
        print_ending(report.ensemble_view(made, out))


def _saying(*, is_quiet: bool) -> Callable[[str], None]:
    """A function that prints a message."""

    def say(sentence: str) -> None:
        if not is_quiet:
            print_line(sentence, is_stderr=True)

    return say


def _telling(rows: int, *, is_quiet: bool) -> Callable[[int], None]:
    """A function that prints, now and then, how many rows are answered."""
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if not is_quiet and done < rows and time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            print_line(f"answered {done:,} of {rows:,} rows", is_stderr=True)

    return tell
