"""The commands that train: `hpo search`, `hpo resume` and `hpo train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo.api.surroundings import default_storage
from hpo.cli.options import (
    Device,
    Explain,
    ModelFolder,
    Overrides,
    Profile,
    Quiet,
    SpecPath,
    StorageUrl,
    StudyName,
    Timeout,
    Trials,
    TrustCode,
)
from hpo.cli.output import print_ending, print_line, stderr

if TYPE_CHECKING:
    from hpo.spec.experiment import Experiment


def search(
    spec: SpecPath,
    overrides: Overrides = None,
    trials: Trials = None,
    timeout: Timeout = None,
    storage: StorageUrl = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start over; the old study is renamed and kept.")
    ] = False,
    device: Device = None,
    profile: Profile = None,
    explain: Explain = False,
    trust_code: TrustCode = False,
    quiet: Quiet = False,
) -> None:
    """Run the study that SPEC describes, or resume it.

    Example: hpo search configs/digits.yaml --trials 200 --set train.epochs=81
    """
    from hpo.api.asking import experiment_of

    experiment = experiment_of(spec, overrides or (), trials, timeout)
    url = storage or experiment.study.storage
    start(
        experiment,
        url,
        device,
        profile,
        new=new,
        explain=explain,
        trust_code=trust_code,
        is_quiet=quiet,
    )


def resume(
    study: StudyName,
    trials: Trials = None,
    timeout: Timeout = None,
    storage: StorageUrl = None,
    device: Device = None,
    profile: Profile = None,
    explain: Explain = False,
    trust_code: TrustCode = False,
    quiet: Quiet = False,
) -> None:
    """Resume a study from its storage, without its spec file.

    Example: hpo resume digits --timeout 10m
    """
    from hpo.api.asking import stored_study

    url = storage or default_storage()
    experiment = stored_study(study, url, trials, timeout)
    start(
        experiment,
        url,
        device,
        profile,
        new=False,
        explain=explain,
        trust_code=trust_code,
        is_quiet=quiet,
    )


def train(
    spec: SpecPath,
    out: ModelFolder,
    overrides: Overrides = None,
    device: Device = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace a model in DIR, or a stopped training of another."),
    ] = False,
    refit: Annotated[
        bool, typer.Option("--refit", help="With data.folds: save one model of all rows.")
    ] = False,
    trust_code: TrustCode = False,
    quiet: Quiet = False,
) -> None:
    """Train one configuration in full; keep weights and metrics.

    Of a spec that was searched, this is the best trial. A training that was stopped goes on.

    Example: hpo train best.yaml -o model/
    """
    from hpo.api.asking import experiment_of
    from hpo.api.running import run_training
    from hpo.api.winning import searched_winner
    from hpo.report.training import EpochDisplay, trained_view
    from hpo.spec.load import require_single
    from hpo.study.signals import StoppedError, stop_signals

    experiment = experiment_of(spec, overrides or ())
    found = searched_winner(experiment, overrides or (), trust_code=trust_code)
    if found is not None:
        experiment = found.experiment
        print_line(f"Trains trial {found.number}, the best of {experiment.name}.", is_stderr=True)
    experiment = require_single(experiment)
    train: Any = experiment.training.train
    epochs = getattr(train, "until", None) or train.epochs
    with (
        EpochDisplay(stderr(), experiment.name, epochs, quiet) as display,
        stop_signals(display.say) as stop,
    ):
        try:
            result = run_training(
                experiment,
                out,
                display,
                stop,
                device=device,
                force=force,
                refit=refit,
                trust_code=trust_code,
                kept=found and found.kept,
            )
        except StoppedError as stopped:
            display.say(str(stopped))
            raise typer.Exit(128 + stopped.signal) from None
    print_ending(trained_view(experiment.name, result, out, found.baselines if found else ()))


def start(
    experiment: Experiment,
    storage: str,
    device: str | None,
    profile: Path | None,
    *,
    new: bool,
    explain: bool,
    trust_code: bool,
    is_quiet: bool,
) -> None:
    """Run a study, show how it gets on and how it ended."""
    from hpo.api.running import run_search
    from hpo.report.ending import ending_view
    from hpo.report.live import display_for
    from hpo.spec.load import require_search
    from hpo.study.signals import stop_signals

    searched = require_search(experiment)
    with (
        display_for(stderr(), searched.goal.first, is_quiet=is_quiet) as display,
        stop_signals(display.say) as stop,
    ):
        outcome = run_search(
            experiment,
            display,
            stop,
            storage=storage,
            device=device,
            new=new,
            profile=profile,
            explain=explain,
            trust_code=trust_code,
        )
    print_ending(ending_view(outcome, searched, storage))
    if outcome.signal is not None:
        raise typer.Exit(128 + outcome.signal)
