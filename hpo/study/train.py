"""Trains one configuration in full and saves the trained model in a folder: `hpo train`."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from hpo.data.cache import DataCache
from hpo.data.class_weights import imbalance
from hpo.data.dataset import DataSet
from hpo.data.load import load_whole
from hpo.engine.devices import describe, local_devices
from hpo.engine.pools.occupant import EpochReport
from hpo.engine.pools.pool import Pool
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.executables import use_jax_cache
from hpo.engine.programs.memory import is_exhausted
from hpo.engine.programs.plans import Plan, Plans, choose_plans
from hpo.engine.task_program import AnyProgram
from hpo.engine.training.techniques.sampling import check_sampling
from hpo.engine.training.techniques.updates import check_updates
from hpo.errors import HpoError
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.experiment import Experiment, Training, folds_of
from hpo.spec.fill import with_rows
from hpo.spec.marks import with_leaves
from hpo.spec.sections.compression.teacher import teacher_of
from hpo.spec.sections.goal import Objective
from hpo.spec.words import count_text
from hpo.study.backends.datasets import DataSets, check_metrics, check_threshold, say_files
from hpo.study.backends.own_numbers import decide, decided
from hpo.study.backends.precision import settled_precision
from hpo.study.backends.pretrained import weights_of, with_start
from hpo.study.backends.tasks import check_task, data_of
from hpo.study.backends.teacher import teacher_plan
from hpo.study.loop.replicas import Replicas
from hpo.study.refit import Refit, best_epochs, refit
from hpo.study.runs import Model, Runs
from hpo.study.signals import StoppedError, StopRequest
from hpo.study.storage.provenance import WEIGHTS, Provenance, library_versions
from hpo.study.storage.trust import check_exported, code_of, tell_code
from hpo.study.surroundings import Surroundings
from hpo.study.unfinished import (
    REFIT,
    Arrays,
    Checkpoint,
    Point,
    about_training,
    going_on_text,
    stopped_text,
    taken_text,
)
from hpo.trained.card import card_of
from hpo.trained.description import Description
from hpo.trained.save import (
    CARD_FILE,
    METRICS_FILE,
    MODEL_FILE,
    Trained,
    check_free,
    save_trained,
)
from hpo.trial import is_finite

if TYPE_CHECKING:
    from hpo.study.kept.files import KeptTrial  # imports the database, which hpo train needs not


def train_to_folder(
    experiment: Experiment,
    folder: Path,
    around: Surroundings,
    watch: Callable[[EpochReport], None],
    say: Callable[[str], None],
    stop: StopRequest,
    is_replaced: bool = False,
    is_refit: bool = False,
    kept: KeptTrial | None = None,
    must_converge: bool = False,
    only_kept: bool = False,
) -> Trained:
    """Train the configuration of a spec and save the model in `folder` (see `save_trained`).

    With `is_refit`, one model trains on the rows of all folds after the members, for the mean of
    their best epochs, and is saved instead of them.

    `watch` gets every epoch, `say` messages for the user. The folder appears when the training is
    over; one that exists is replaced only if `is_replaced` is set. One that was stopped goes on.
    Weights that a search has `kept` are taken as they are, and with `only_kept` nothing trains. A
    training that diverges replaces no model, and with `must_converge` writes none.

    Raises:
        StoppedError: once `stop` is set.
        HpoError: for a folder in the way, data that do not fit, and a training that diverges so.
        DeviceError: where a single lane is too much for the memory.
    """
    check_free(folder, is_replaced)
    if is_refit:
        _check_refit(experiment.training)
    start = time.monotonic()
    device = local_devices(around.device)[0]
    use_jax_cache(around.cache)
    training, data = _made_ready(experiment, around, device, say)
    provenance = _provenance_of(experiment, training, data, device)
    about = about_training(experiment, _objective_of(experiment), provenance, is_refit=is_refit)
    checkpoint = Checkpoint(folder, about, experiment.study.checkpoint_seconds)
    point = checkpoint.read(starts_over=is_replaced) or _kept_point(kept, provenance)
    start -= point.seconds if point else 0.0
    experiment, training = _settled(experiment, training, point, data, device, around, say)
    runs = Runs(training, data, device.platform, _objective_of(experiment))
    point = _taken_up(runs, point, say, only_kept)
    pool = _pool(runs, training, data, device, around.cache, point, say)
    stop.begin()
    look = _looking(runs, pool, checkpoint, stop, folder, start)
    _train(runs, pool, watch, say, look)
    model = runs.model(time.monotonic() - start)
    if is_refit:
        whole = load_whole(experiment.training.data, experiment.folder, around.data_home)
        epochs = best_epochs(list(runs.curves))
        one = refit(training, whole, epochs, pool, runs.states.get(REFIT), look)
        model = _refitted(model, one, whole, time.monotonic() - start)
    look()
    stop.end()  # the model is saved whole
    if must_converge or (folder / METRICS_FILE).exists():
        _check_converged(folder, model, checkpoint)
    trained = _saved(folder, experiment, model, provenance)
    checkpoint.delete()
    return trained


def _settled(
    experiment: Experiment,
    training: Any,
    point: Point | None,
    data: DataSet,
    device: Any,
    around: Surroundings,
    say: Callable[[str], None],
) -> tuple[Experiment, Any]:
    """An experiment and its training with a precision, which a `point` of it may have measured."""
    if not isinstance(training, Training):
        return experiment, training
    experiment = experiment if point is None else point.settled(experiment)
    experiment = settled_precision(experiment, data, device, around.cache, say)
    settled = experiment.training.train.precision
    return experiment, with_leaves(training, {"train.precision": settled})


def _check_converged(folder: Path, model: Model, checkpoint: Checkpoint) -> None:
    """Refuse a model whose loss is not finite, and let no training go on with it.

    Raises:
        HpoError: for such a model.
    """
    if is_finite(model.trained.curve[-1].metrics):
        return
    checkpoint.delete()
    raise HpoError(
        f"{folder}: is not written, because the training diverged: its loss is not finite. Give a "
        "smaller learning rate."
    )


def _kept_point(kept: KeptTrial | None, provenance: Provenance) -> Point | None:
    """The end of the trial that a search has kept, if data, code, libraries and the kind of
    device are the same."""
    found = None if kept is None else kept.read()
    if found is None:
        return None
    told, now = found.provenance, provenance.to_document()
    is_same = all(told.get(part) == now[part] for part in ("versions", "data_fingerprint"))
    # `8 x NVIDIA H100 (gpu)` and `1 x NVIDIA H100 (gpu)` are of one kind.
    is_same &= _kind(told.get("device")) == _kind(now["device"])
    # A study may name more files than one of its trials does, and from another folder.
    for part in ("code", WEIGHTS):
        is_same &= {*now.get(part, {}).values()} <= {*told.get(part, {}).values()}
    return Point.of_kept(found) if is_same else None


def _kind(devices: Any) -> str:
    return str(devices).partition(" x ")[2]


class NotKeptError(HpoError):
    """A search has kept no weights of a trial, or none that fit the data and libraries here."""


def _taken_up(
    runs: Runs, point: Point | None, say: Callable[[str], None], only_kept: bool
) -> Point | None:
    """The point from which the runs go on, if any; kept weights of other shapes are none."""
    if point is None or (point.trial is not None and not runs.can_go_on(point)):
        if only_kept:
            raise NotKeptError("the weights of the trial are not kept.")
        return None
    runs.go_on(point)
    done = len(runs.curve())
    say(going_on_text(done, runs.to_epoch) if point.trial is None else taken_text(point.trial))
    return point


def _check_refit(training: Any) -> None:
    """Refuse `--refit` without folds, and beside a teacher, which answers for those of folds."""
    if folds_of(training) == 1:
        raise HpoError("--refit: the spec has no data.folds: leave --refit out.")
    if teacher_of(training) is not None:
        raise HpoError("--refit: a teacher answers for the rows of each fold: leave --refit out.")


def _provenance_of(experiment: Experiment, training: Any, data: DataSet, device: Any) -> Provenance:
    return Provenance(
        library_versions(),
        describe([device]),
        data.fingerprint,
        code_of(training),
        weights_of(experiment),
    )


def _looking(
    runs: Runs, pool: Pool, checkpoint: Checkpoint, stop: StopRequest, folder: Path, start: float
) -> Callable[..., None]:
    """A function that keeps a checkpoint now and then, and before it obeys a stop."""

    def look(one: Callable[[], Arrays] | None = None) -> None:
        is_stopped, so_far = stop.obey(), time.monotonic() - start
        is_kept = checkpoint.keep(lambda: runs.point(pool, one, so_far), now=is_stopped)
        if is_stopped:
            text = stopped_text(len(runs.curve()), folder, is_kept=is_kept)
            raise StoppedError(text, stop.signal or signal.SIGINT)

    return look


def _pool(
    runs: Runs,
    training: Any,
    data: DataSet,
    device: Any,
    cache: Path | None,
    point: Point | None,
    say: Callable[[str], None],
) -> Pool:
    """A pool with the program of the runs, and as many lanes as they had before a stop."""
    compiler = Compiler(cache)
    pool, wanted = Pool(device, compiler), _plan_of(training, device.platform)
    plan = _as_kept(wanted, training, compiler, runs.program)
    if point is not None and point.lanes:
        plan = replace(plan, lanes=point.lanes)
    found = pool.load(runs.program, Plans(plan), data)
    if found.lanes < wanted.lanes:
        say(_fewer(found))
    return pool


def _saved(folder: Path, experiment: Experiment, model: Model, provenance: Provenance) -> Trained:
    """The result of a training, once its folder is written."""
    trained, weights, transforms, data = model
    # The outputs of a task of one's own mean something to its code alone.
    texts = {}
    if not isinstance(experiment.training, TaskTraining):
        told = Description.of(data)
        card = card_of(experiment.name, told, trained, data.fingerprint)
        texts = {MODEL_FILE: json.dumps(told.to_plain()) + "\n", CARD_FILE: card}
    document = provenance.to_document()
    save_trained(folder, experiment, weights, trained, document, transforms, texts)
    return trained


def _refitted(members: Model, one: Refit, whole: DataSet, seconds: float) -> Model:
    """The model that trained on all rows, with what its members tell of validation rows."""
    trained = replace(
        members.trained,
        metrics={**members.trained.metrics, "test": one.test},
        deviations={**members.trained.deviations, "test": None},
        refit_epochs=one.epochs,
        seconds=seconds,
    )
    return Model(trained, {"all": one.weights}, {"all": whole.transform.to_arrays()}, whole)


def _made_ready(
    experiment: Experiment, around: Surroundings, device: Any, say: Callable[[str], None]
) -> tuple[Any, DataSet]:
    """The training of a spec and its data, once both are known to fit."""
    training: Any = experiment.training
    check_exported(training, is_trusted=around.trusts_code)
    tell_code(training, say)
    datasets = DataSets(
        experiment.folder,
        around.data_home,
        DataCache(around.data_cache),
        teacher_plan(experiment, trusts_code=around.trusts_code),
    )
    if isinstance(training, TaskTraining):
        data = data_of(training, datasets)
        check_task(training, data, device)
        training = with_rows(training, data.train_rows)
    else:
        say_files(experiment, around.data_home, say)
        data = datasets.load(training.data)
        check_metrics("train.metrics", training.train.metrics, data, training.own_metrics)
        check_threshold(training.train.threshold, data)
        numbers = decide(training, data, device.platform, say)
        if numbers is not None and numbers.static:
            say(str(numbers))
        if text := imbalance(data, training.data):
            say(text)
        training = with_rows(decided(experiment, numbers).training, data.train_rows)
        check_sampling(training, data)
        check_updates(training, data)
        training = with_start(training, data, experiment.folder)
    for note in data.notes:
        say(note)
    return training, data


def _train(
    runs: Runs,
    pool: Pool,
    watch: Callable[[EpochReport], None],
    say: Callable[[str], None],
    look: Callable[[], None],
) -> None:
    """Train all runs, as many at once as there are lanes; fewer lanes where memory runs out."""
    shown = len(runs.curve())
    while runs.waiting:
        try:
            runs.enter(pool)
            while pool.has_work and not runs.have_stopped:
                look()
                runs.note(pool.round())
                for report in runs.curve()[shown:]:
                    watch(report)
                    shown = report.epoch
            runs.leave(pool)
        except jax.errors.JaxRuntimeError as error:
            if not is_exhausted(error):
                raise
            say(_fewer(pool.halve()))
            runs.start_over()
    kept = runs.kept_epoch
    if not runs.are_at(kept):
        say(f"Epoch {kept} of {shown} is kept: the weights train again up to it.")
        runs.start_again(kept)
        _train(runs, pool, lambda _: None, say, look)


def _objective_of(experiment: Experiment) -> Objective:
    """What judges the epochs: the first objective of a search, else the validation loss."""
    search = experiment.search
    return Objective(minimize="loss") if search is None else search.goal.first


def _plan_of(training: Training, platform: str) -> Plan:
    """How the runs train: as the spec says, or by the usual plan.

    Plans are not measured here, because the last bits depend on the form.
    """
    runs, form, lanes = Replicas.of(training).count, training.train.form, training.train.lanes
    if form == "auto" or lanes == "auto":
        lanes = runs
    # A spec that gives a form gives its lanes too: bits depend on how many train at once.
    return choose_plans(platform, lanes, runs, 1, is_learning=False, form=form).usual


def _as_kept(plan: Plan, training: Training, compiler: Compiler, program: AnyProgram) -> Plan:
    """The plan with more lanes where the study has compiled the program for more.

    Its code is then in the cache. Under `map` the lanes beside change no bit. A spec that says how
    many lanes train has that many.
    """
    is_free = "auto" in (training.train.form, training.train.lanes)
    kept = compiler.kept_lanes(program) if plan.form == "map" and is_free else 0
    return replace(plan, lanes=max(plan.lanes, kept))


def _fewer(plan: Plan) -> str:
    count = count_text(plan.lanes, "lane")
    bits = ", so the last bits may differ from those of its study" if plan.form == "vmap" else ""
    return f"The memory has run out: training goes on with {count}{bits}."
