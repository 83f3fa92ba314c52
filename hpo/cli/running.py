"""The commands that train: `hpo search`, `hpo resume` and `hpo train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    print_view,
    search_overrides,
    stderr,
)
from hpo.cli.surroundings import default_storage, surroundings
from hpo.study.signals import stop_signals

if TYPE_CHECKING:
    from hpo.spec.experiment import Experiment


def search(
    spec: SpecPath,
    overrides: Overrides = None,
    trials: Trials = None,
    timeout: Timeout = None,
    storage: StorageUrl = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start over; the old study is kept under another name.")
    ] = False,
    device: Device = None,
    profile: Profile = None,
    explain: Explain = False,
    quiet: Quiet = False,
) -> None:
    """Run the study that SPEC describes, or go on with it.

    Example: hpo search configs/digits.yaml --trials 200 --set train.epochs=81
    """
    from hpo.spec.load import load_experiment

    experiment = load_experiment(spec, search_overrides(overrides, trials, timeout))
    url = storage or experiment.study.storage
    _run(experiment, url, device, profile, starts_over=new, explains=explain, is_quiet=quiet)


def resume(
    study: StudyName,
    trials: Trials = None,
    timeout: Timeout = None,
    storage: StorageUrl = None,
    device: Device = None,
    profile: Profile = None,
    explain: Explain = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a study from its storage alone.

    Example: hpo resume digits --timeout 10m
    """
    from hpo.study.storage.stored import stored_experiment
    from hpo.study.storage.tables import Storage

    url = storage or default_storage()
    overrides = search_overrides(None, trials, timeout)
    with Storage.read(url) as database:
        experiment = stored_experiment(database.study(study), database.where, overrides)
    _run(experiment, url, device, profile, starts_over=False, explains=explain, is_quiet=quiet)


def train(
    spec: SpecPath,
    out: ModelFolder,
    overrides: Overrides = None,
    device: Device = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that DIR holds.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train the one configuration of SPEC in full; keep weights and metrics.

    Example: hpo train best.yaml -o model/
    """
    from hpo.spec.load import load_experiment, require_single

    experiment = load_experiment(spec, overrides or ())
    training = require_single(experiment)

    from hpo.report.training import EpochDisplay, trained_view

    with (
        EpochDisplay(stderr(), experiment.name, training.train.epochs, quiet) as display,
        stop_signals(display.say) as stop,  # first: a KeyboardInterrupt in JAX's import gets lost
    ):
        from hpo.study.train import StoppedError, train_to_folder  # imports JAX

        around = surroundings(default_storage(), device)
        try:
            result = train_to_folder(
                experiment, out, around, display.watch, display.say, stop, force
            )
        except StoppedError as stopped:
            display.say(str(stopped))
            raise typer.Exit(128 + stopped.signal) from None
    print_view(trained_view(experiment.name, result, out))


def _run(
    experiment: Experiment,
    storage: str,
    device: str | None,
    profile: Path | None,
    *,
    starts_over: bool,
    explains: bool,
    is_quiet: bool,
) -> None:
    from hpo.report.ending import ending_view
    from hpo.report.live import display_for
    from hpo.spec.load import require_search

    searched = require_search(experiment)
    is_maximized = searched.goal.first.maximize is not None
    with (
        display_for(stderr(), is_maximized=is_maximized, is_quiet=is_quiet) as display,
        stop_signals(display.say) as stop,  # first: a KeyboardInterrupt in JAX's import gets lost
    ):
        from hpo.study.run import run_study  # imports JAX

        around = surroundings(
            storage, device, starts_over=starts_over, explains=explains, profile=profile
        )
        outcome = run_study(experiment, around, display.watch, display.say, stop)
    print_view(ending_view(outcome, searched, storage))
    if outcome.signal is not None:
        raise typer.Exit(128 + outcome.signal)
