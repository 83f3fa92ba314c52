"""The commands that train: `hpo search`, `hpo resume`, `hpo train` and `hpo compress`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hpo.api.surroundings import default_storage
from hpo.cli.models import TrainedFolder, TrustModel, sent_again, tell_sent
from hpo.cli.options import (
    AsJson,
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
from hpo.cli.output import print_ending, print_json, print_line, stderr

if TYPE_CHECKING:
    from hpo.spec.experiment import Experiment
    from hpo.study.kept.files import KeptTrial
    from hpo.trained.save import Trained


ForceModel = Annotated[
    bool,
    typer.Option("--force", help="Replace a model in DIR, or a stopped training of another."),
]


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
    force: ForceModel = False,
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
    from hpo.api.running import data_of_today, trained_from
    from hpo.api.winning import searched_winner
    from hpo.report.training import trained_view
    from hpo.spec.load import require_single
    from hpo.trained.remote import holds_model, written_to

    experiment = experiment_of(spec, overrides or ())
    found = searched_winner(experiment, overrides or (), trust_code=trust_code)
    experiment = require_single(experiment if found is None else found.experiment)
    about = trained_from(experiment, is_refit=refit)
    data = partial(data_of_today, experiment, trust_code=trust_code)
    if sent_again(out, about, data, force=force):
        return
    if found is not None:
        print_line(f"Trial {found.number} is the best of {experiment.name}.", is_stderr=True)
    with written_to(out, is_replaced=force, about=about) as folder:
        result = _trained(
            experiment,
            folder,
            device,
            force=force,
            refit=refit,
            trust_code=trust_code,
            is_quiet=quiet,
            kept=found and found.kept,
            must_converge=force and holds_model(out),
        )
    print_ending(trained_view(experiment.name, result, out, found.baselines if found else ()))


def compress(
    model: TrainedFolder,
    out: ModelFolder,
    sparsity: Annotated[
        float, typer.Option(help="Share of the weights that become 0.", min=0, max=0.99)
    ] = 0.7,
    unit: Annotated[
        Literal["weight", "unit"],
        typer.Option(help="Cut single weights, or whole units and filters."),
    ] = "weight",
    bits: Annotated[
        int, typer.Option(help="Bits of the other weights, 2 to 8; 32 leaves them.", min=2, max=32)
    ] = 4,
    rank: Annotated[
        int | None,
        typer.Option(help="Write layers as products of two arrays of this rank.", min=1),
    ] = None,
    activation_bits: Annotated[
        int | None, typer.Option(help="Bits of what layers read, 2 to 8.", min=2, max=8)
    ] = None,
    teacher: Annotated[
        bool,
        typer.Option("--teacher", help="Learn the answers of MODEL, too."),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs to train, 0 for none; else as many as MODEL did.", min=0),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="First rate, which falls; else that of MODEL.", min=0)
    ] = None,
    device: Device = None,
    force: ForceModel = False,
    trust_code: TrustModel = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a trained model smaller: cut and round its weights.

    It trains on as its spec says, with its data. A training that was stopped goes on.

    Example: hpo compress model/ -o small/ --sparsity 0.8 --bits 4
    """
    from hpo.api.models.compressing import run_compression
    from hpo.report.models.compressed import compressed_view
    from hpo.trained.compress import Wanted

    shared: Any = {"device": device, "force": force, "trust_code": trust_code}
    train = partial(_trained, is_quiet=quiet, must_converge=True, **shared)
    wanted = Wanted(sparsity, unit, bits, teacher, epochs, learning_rate, rank, activation_bits)
    found = run_compression(model, wanted, out, train, **shared)
    if found is None:
        tell_sent(out, as_json=as_json)
    elif as_json:
        print_json({"folder": out, **found.to_plain()})
    else:
        print_ending(compressed_view(found, model, out))


def _trained(
    experiment: Experiment,
    out: Path,
    device: str | None,
    *,
    force: bool,
    trust_code: bool,
    is_quiet: bool,
    refit: bool = False,
    kept: KeptTrial | None = None,
    must_converge: bool = False,
) -> Trained:
    """Train one configuration, and show how it gets on."""
    from hpo.api.running import run_training
    from hpo.report.training import EpochDisplay
    from hpo.study.signals import StoppedError, stop_signals

    train: Any = experiment.training.train
    epochs = getattr(train, "until", None) or train.epochs
    with (
        EpochDisplay(stderr(), experiment.name, epochs, is_quiet) as display,
        stop_signals(display.say) as stop,
    ):
        try:
            return run_training(
                experiment,
                out,
                display,
                stop,
                device=device,
                force=force,
                refit=refit,
                trust_code=trust_code,
                kept=kept,
                must_converge=must_converge,
            )
        except StoppedError as stopped:
            display.say(str(stopped))
            raise typer.Exit(128 + stopped.signal) from None


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
