"""Runs a study or a training in this process: for the command line, and the child of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hpo.api.memory import check_memory
from hpo.api.surroundings import default_storage, surroundings
from hpo.errors import HpoError
from hpo.spec.code.own_command import command_line
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.file.dump import dump_spec
from hpo.spec.load import require_search, require_single
from hpo.spec.sections.compression.teacher import leaves_of_models
from hpo.spec.sections.models.pretrained import named_trials
from hpo.study.storage.trust import check_exported, code_of

if TYPE_CHECKING:
    from hpo.api.winning import Winner
    from hpo.engine.pools.occupant import EpochReport  # imports JAX
    from hpo.spec.experiment import Experiment
    from hpo.spec.sections.goal import Objective
    from hpo.study.kept.files import KeptTrial
    from hpo.study.progress import Outcome, Progress
    from hpo.study.signals import StopRequest
    from hpo.study.storage.journal import Listener
    from hpo.study.surroundings import Surroundings
    from hpo.trained.ensembles.write import Ensembled
    from hpo.trained.save import Trained


class SearchDisplay(Protocol):
    """Shows how a search gets on."""

    def watch(self, progress: Progress) -> None: ...

    def say(self, sentence: str) -> None: ...


class TrainingDisplay(Protocol):
    """Shows how a training gets on."""

    def watch(self, report: EpochReport) -> None: ...

    def say(self, sentence: str) -> None: ...


def run_search(
    experiment: Experiment,
    display: SearchDisplay,
    stop: StopRequest,
    *,
    storage: str | None = None,
    device: str | None = None,
    new: bool = False,
    profile: Path | None = None,
    explain: bool = False,
    trust_code: bool = False,
    listen: Listener | None = None,
) -> Outcome:
    """Run a study in this process until it ends or is stopped.

    Where JAX is in use already, it trains on a single CPU device instead of one for each core.
    `listen` gets the events of the log as they are stored. Other options are as on the command
    line.

    Raises:
        HpoError: for what the user can fix.
    """
    require_search(experiment)
    url = storage or experiment.study.storage
    around = surroundings(
        url, device, starts_over=new, explains=explain, profile=profile, trusts_code=trust_code
    )
    check_memory(experiment, around.data_home, around.data_cache)
    experiment = _with_models(experiment, around, display.say)
    from hpo.study.run import run_study  # imports JAX

    return run_study(experiment, around, display.watch, display.say, stop, listen)


def run_training(
    experiment: Experiment,
    folder: Path,
    display: TrainingDisplay,
    stop: StopRequest,
    *,
    device: str | None = None,
    force: bool = False,
    refit: bool = False,
    trust_code: bool = False,
    kept: KeptTrial | None = None,
    must_converge: bool = False,
) -> Trained:
    """Train one configuration in this process and keep the model in `folder`.

    Weights of `kept`, the trial that it is of, are taken where a search has kept them. With
    `must_converge`, a training that diverges is an error.

    Raises:
        StoppedError: once `stop` is set.
        HpoError: for what the user can fix.
    """
    experiment = require_single(experiment)
    training: Any = experiment.training
    if experiment.are_processes:
        raise HpoError(
            f"{experiment.name}: is a command, which keeps its own model: run "
            f"{command_line(training)} in {experiment.folder.resolve() / training.command.folder}."
        )
    around = surroundings(experiment.study.storage, device, trusts_code=trust_code)
    check_memory(experiment, around.data_home, around.data_cache)
    experiment = _with_models(experiment, around, display.say)
    from hpo.study.train import train_to_folder  # imports JAX

    say, watch = display.say, display.watch
    return train_to_folder(
        experiment, folder, around, watch, say, stop, force, refit, kept, must_converge
    )


def trained_from(experiment: Experiment, *, is_refit: bool) -> str:
    """What a model is trained from beside its data, as text.

    It is the spec, the hash of each file of the user's own code and of the weights of each trained
    model that it names, and whether `--refit` is given.

    Raises:
        HpoError: for a trained model by URL that cannot be fetched, or a trial that is not there.
    """
    files = [*code_of(experiment.training).items(), *_models_of_today(experiment).items()]
    hashes = (f"# {name}: {sha256}\n" for name, sha256 in files)
    refit = "# --refit\n" if is_refit else ""
    return "".join((dump_spec(experiment.document), *hashes, refit))


def _models_of_today(experiment: Experiment) -> dict[str, str]:
    """What the trained models that a spec names are known by: each has another hash.

    JAX reads none of them: it would start its devices, whose number the training chooses.
    """
    # The hparams of a command may have any names.
    if experiment.are_processes:
        return {}
    from hpo.trained.load import weights_hash
    from hpo.trained.remote import named_model

    leaves = leaves_of_models(experiment.training, experiment.space)
    found = {
        name: weights_hash(named_model(name, experiment.folder, leaf))
        for name, leaf in leaves.items()
    }
    if named_trials(experiment.document):
        from hpo.api.winning import trials_of_today  # imports the database

        found |= trials_of_today(experiment)
    return found


def data_of_today(experiment: Experiment, *, trust_code: bool) -> str:
    """The fingerprint of the data that a training would read now, as `metrics.json` has it.

    Raises:
        HpoError: for data that are missing or broken, and code that is not trusted.
    """
    from hpo.data.cache import DataCache
    from hpo.study.backends.datasets import DataSets  # imports JAX
    from hpo.study.backends.tasks import data_of

    training: Any = experiment.training
    check_exported(training, is_trusted=trust_code)
    around = surroundings(experiment.study.storage, None)
    datasets = DataSets(experiment.folder, around.data_home, DataCache(around.data_cache))
    is_task = isinstance(training, TaskTraining)
    data = data_of(training, datasets) if is_task else datasets.load(training.data)
    return data.fingerprint


def _with_models(
    experiment: Experiment, around: Surroundings, say: Callable[[str], None]
) -> Experiment:
    """The experiment with folders of trained models where it names trials of studies."""
    # The hparams of a command may have any names.
    if experiment.are_processes or not named_trials(experiment.document):
        return experiment
    from hpo.api.winning import with_models  # imports the database

    return with_models(experiment, around, say)


def run_ensemble(
    trials: Sequence[Winner],
    objective: Objective,
    folder: Path,
    displays: tuple[
        Callable[[], AbstractContextManager[SearchDisplay]],
        Callable[[Winner], AbstractContextManager[TrainingDisplay]],
    ],
    say: Callable[[str], None],
    stop: StopRequest,
    *,
    device: str | None = None,
    force: bool = False,
    mean: bool = False,
    soup: bool = False,
    trust_code: bool = False,
) -> Ensembled:
    """Train the best trials of a study in this process and keep their mean in `folder`.

    `displays` give that of all which train together, and that of one which trains alone. The shares
    in the mean are greedy, by the objective on validation, or equal with `mean`. With `soup` the
    mean is of their weights.

    Raises:
        StoppedError: once `stop` is set.
        HpoError: for what the user can fix.
    """
    around = surroundings(default_storage(), device, trusts_code=trust_code)
    for one in trials:
        check_memory(one.experiment, around.data_home, around.data_cache)
    from hpo.study.ensembles.ensemble import ensemble_to_folder  # imports JAX
    from hpo.study.ensembles.members import Displays

    return ensemble_to_folder(
        trials,
        objective,
        folder,
        around,
        Displays(*displays),
        say,
        stop,
        is_replaced=force,
        is_plain=mean,
        is_soup=soup,
    )
