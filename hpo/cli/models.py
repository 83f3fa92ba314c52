"""The commands of trained models: `hpo explain` and `hpo ensemble`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from hpo.cli.output import (
    own_prints_apart,
    print_ending,
    print_json,
    print_line,
    print_view,
    stderr,
)

if TYPE_CHECKING:
    from hpo.api.winning import Winner
    from hpo.report.training import EpochDisplay
    from hpo.study.signals import StopRequest

LINE_SECONDS = 10.0


def _local(place: str) -> Path:
    """The folder of a model, or a copy of that of a URL."""
    if "://" not in place:
        return Path(place)
    from hpo.trained.remote import local_model  # imports pydantic

    return local_model(place.rstrip("/"))


def sent_again(
    out: str, about: str, data: Callable[[], str], *, force: bool, as_json: bool = False
) -> bool:
    """Send to a URL the same model that could not be sent before; False without one."""
    from hpo.trained.remote import send_again  # imports pydantic

    if not send_again(out, about, data, is_replaced=force):
        return False
    tell_sent(out, as_json=as_json)
    return True


def tell_sent(out: str, *, as_json: bool) -> None:
    """Say that a URL has got the model that could not be sent before."""
    if as_json:
        print_json({"folder": out, "sent": True})
    else:
        print_line(f"{out} holds the model that was made before; it is sent now.")


ExplainedData = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]",
        help="Rows with their targets, or a text; by default those that validated the model.",
        autocompletion=completion.files,
    ),
]
Metric = Annotated[
    str | None, typer.Option(help="What a shuffled column makes worse: loss, of forecasts rmse.")
]
Repeats = Annotated[
    int | None, typer.Option(help="Shuffles of each column; 10 if left out.", min=2)
]
ShuffledRows = Annotated[int, typer.Option(help="Rows that are shuffled at most.", min=2)]
TrainedFolder = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="The folder that hpo train wrote, or its URL.",
        parser=_local,
        autocompletion=completion.files,
    ),
]
TrustModel = Annotated[
    bool, typer.Option("--trust-code", help="Run the code of your own that the model names.")
]


def explain(
    model: TrainedFolder,
    data: ExplainedData = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="DIR",
            help="Write the tables into this folder, too.",
            autocompletion=completion.files,
        ),
    ] = None,
    metric: Metric = None,
    repeats: Repeats = None,
    rows: ShuffledRows = 5000,
    worst: Annotated[int, typer.Option(help="How many of the worst to list.", min=0)] = 10,
    device: Device = None,
    force: Force = False,
    trust_code: TrustModel = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show what a model looks at, and where it is wrong.

    Example: hpo explain model/ held-out.csv -o why/
    """
    from hpo.api.surroundings import data_home
    from hpo.report.models import explain as report
    from hpo.trained.explain.write import check_folder, write_explanation

    if out is not None:
        check_folder(out, replace=force)
    from hpo.trained.blocks import told_where_exhausted
    from hpo.trained.ensembles.ensemble import load_answering  # imports JAX
    from hpo.trained.explain.explanation import explained
    from hpo.trained.explain.findings import How
    from hpo.trained.explain.rows import rows_to_explain

    with own_prints_apart():
        loaded = load_answering(model, device, is_trusted=trust_code)
        starts = (Path.cwd(), model.parent)
        new = rows_to_explain(loaded, data, starts, data_home(), is_trusted=trust_code)
    print_notes(() if quiet else new.notes)
    watch = _counting("columns shuffled", is_quiet=quiet)
    with own_prints_apart(), told_where_exhausted(model, "its answers were explained"):
        how = How(metric, repeats, rows, worst, has_pictures=out is not None)
        found = explained(loaded, new, how, watch)
    plain = report.as_json(found)
    if out is not None and (note := write_explanation(out, found, plain)):
        print_notes([note])
    if as_json:
        print_json(plain)
    else:
        print_view(report.explain_view(str(model), found))


def ensemble(
    study: StudyName,
    out: ModelFolder,
    top: Annotated[int, typer.Option(help="How many of the best trials to train.", min=1)] = 5,
    mean: Annotated[
        bool, typer.Option("--mean", help="Give all trials the same share in the mean.")
    ] = False,
    soup: Annotated[
        bool,
        typer.Option(
            "--soup", help="Average the weights of trials that start from the same model."
        ),
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
    from hpo.api.running import data_of_today, run_ensemble
    from hpo.api.winning import best_trials
    from hpo.report.models import ensemble as report
    from hpo.spec.words import count_text
    from hpo.trained.remote import written_to

    trials, objective = best_trials(study, storage, top, trust_code=trust_code)
    about = _about(trials, f"{objective}, {mean=}, {soup=}")
    data = partial(data_of_today, trials[0].experiment, trust_code=trust_code)
    if sent_again(out, about, data, force=force, as_json=as_json):
        return
    say = _saying(is_quiet=quiet)
    if len(trials) < top:
        say(f"{study} has {count_text(len(trials), 'trial')} that can be trained again.")
    with written_to(out, is_replaced=force, about=about) as folder, _stoppable() as stop:
        made = run_ensemble(
            trials,
            objective,
            folder,
            _displays(study, say, is_quiet=quiet),
            say,
            stop,
            device=device,
            force=force,
            mean=mean,
            soup=soup,
            trust_code=trust_code,
        )
    if as_json:
        print_json(report.as_json(made, out))
    else:
        print_ending(report.ensemble_view(made, out))


@contextmanager
def _stoppable() -> Iterator[StopRequest]:
    """A time in which a signal stops what is trained; the process then ends with its code."""
    from hpo.study.signals import StoppedError, stop_signals

    with stop_signals(lambda text: print_line(text, is_stderr=True)) as stop:
        try:
            yield stop
        except StoppedError as stopped:
            print_line(str(stopped), is_stderr=True)
            raise typer.Exit(128 + stopped.signal) from None


def _about(trials: Sequence[Winner], how: str) -> str:
    """All that an ensemble of these trials is made from beside its data."""
    from hpo.api.running import trained_from

    texts = [trained_from(one.experiment, is_refit=False) for one in trials]
    named = [f"trial {one.number}:\n{text}" for one, text in zip(trials, texts, strict=True)]
    return "\n".join([how, *named])


def _displays(study: str, say: Callable[[str], None], *, is_quiet: bool) -> tuple[Any, Any]:
    """What gives the display of trials that train together, and that of one that trains alone."""
    from hpo.report.live import Display, display_for
    from hpo.report.training import EpochDisplay
    from hpo.spec.sections.goal import Objective

    def together() -> Display:
        return display_for(stderr(), Objective(minimize="loss"), is_quiet=is_quiet)

    def alone(trial: Winner) -> EpochDisplay:
        say(f"Trains trial {trial.number}.")
        train: Any = trial.experiment.training.train
        epochs = getattr(train, "until", None) or train.epochs
        return EpochDisplay(stderr(), f"{study}, trial {trial.number}", epochs, is_quiet)

    return together, alone


def _saying(*, is_quiet: bool) -> Callable[[str], None]:
    """A function that prints a message."""

    def say(sentence: str) -> None:
        if not is_quiet:
            print_line(sentence, is_stderr=True)

    return say


def _counting(what: str, *, is_quiet: bool) -> Callable[[int], None]:
    """A function that prints, now and then, how many of something are done."""
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if not is_quiet and time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            print_line(f"{done:,} {what}", is_stderr=True)

    return tell


def print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        stderr().print(note, markup=False, highlight=False, soft_wrap=True)
