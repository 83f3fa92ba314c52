"""Trains one configuration in full and saves the trained model in a folder: `hpo train`."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from hpo.study.executors.messages import DataReference
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
    from hpo.study.kept.files import (
        Kept,
        KeptTrial,
    )  # imports the database, which hpo train needs not


@dataclass(frozen=True)
class Ready:
    """A configuration that can train: its training and its data, once both are known to fit.

    `provenance` is what its bits depend on besides.
    """

    experiment: Experiment
    training: Any
    data: DataSet
    reference: DataReference
    provenance: Provenance

    @property
    def objective(self) -> Objective:
        """What judges the epochs: the first objective of a search, else the validation loss."""
        search = self.experiment.search
        return Objective(minimize="loss") if search is None else search.goal.first

    def about(self, *, is_refit: bool = False) -> dict[str, Any]:
        """All that the bits of the training depend on, as plain values."""
        return about_training(self.experiment, self.objective, self.provenance, is_refit=is_refit)

    def settled(
        self, point: Point | None, around: Surroundings, say: Callable[[str], None]
    ) -> Ready:
        """The same in a precision, which a `point` of the training may have measured."""
        if not isinstance(self.training, Training):
            return self
        device = local_devices(around.device)[0]
        experiment = self.experiment if point is None else point.settled(self.experiment)
        experiment = settled_precision(experiment, self.data, device, around.cache, say)
        precision = {"train.precision": experiment.training.train.precision}
        return replace(self, experiment=experiment, training=with_leaves(self.training, precision))


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
    ready = made_ready(experiment, around, say, datasets_of(experiment, around))
    about = ready.about(is_refit=is_refit)
    checkpoint = Checkpoint(folder, about, experiment.study.checkpoint_seconds)
    point = checkpoint.read(starts_over=is_replaced) or _kept_point(kept, ready)
    start -= point.seconds if point else 0.0
    ready = ready.settled(point, around, say)
    runs = Runs(ready.training, ready.data, device.platform, ready.objective)
    point = _taken_up(runs, point, say, only_kept)
    pool = Pool(device, compiler := Compiler(around.cache))
    _load(pool, compiler, runs, ready, point, say)
    stop.begin()
    look = _looking(runs, pool, checkpoint, stop, folder, start)
    _train(runs, pool, watch, say, look)
    model = runs.model(time.monotonic() - start)
    if is_refit:
        whole = load_whole(experiment.training.data, experiment.folder, around.data_home)
        epochs = best_epochs(list(runs.curves))
        one = refit(ready.training, whole, epochs, pool, runs.states.get(REFIT), look)
        model = _refitted(model, one, whole, time.monotonic() - start)
    look()
    stop.end()  # the model is saved whole
    if must_converge or (folder / METRICS_FILE).exists():
        _check_converged(folder, model, checkpoint)
    trained = _saved(folder, ready, model)
    checkpoint.delete()
    return trained


def save_end(
    ready: Ready, end: Kept, folder: Path, pool: Pool, compiler: Compiler, seconds: float
) -> bool:
    """Save the model of a training whose `end` is known, as `train_to_folder` does; False where
    its states do not fit.

    `seconds` are those that it took. A `pool` serves many models one after the other.
    """
    point = Point.of_kept(end)
    runs = Runs(ready.training, ready.data, pool.place.platform, ready.objective)
    if not runs.can_go_on(point):
        return False
    runs.go_on(point)
    _load(pool, compiler, runs, ready, None, _ignore)
    _train(runs, pool, _ignore, _ignore, lambda: None)
    _saved(folder, ready, runs.model(seconds))
    return True


def _ignore(_: Any) -> None:
    """Tells nobody."""


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


def _kept_point(kept: KeptTrial | None, ready: Ready) -> Point | None:
    end = kept_end(kept, ready)
    return None if end is None else Point.of_kept(end)


def kept_end(kept: KeptTrial | None, ready: Ready) -> Kept | None:
    """The end of the trial that a search has kept, if data, code, libraries and the kind of
    device are the same."""
    found = None if kept is None else kept.read()
    if found is None:
        return None
    told, now = found.provenance, ready.provenance.to_document()
    is_same = all(told.get(part) == now[part] for part in ("versions", "data_fingerprint"))
    # `8 x NVIDIA H100 (gpu)` and `1 x NVIDIA H100 (gpu)` are of one kind.
    is_same &= _kind(told.get("device")) == _kind(now["device"])
    # A study may name more files than one of its trials does, and from another folder.
    for part in ("code", WEIGHTS):
        is_same &= {*now.get(part, {}).values()} <= {*told.get(part, {}).values()}
    return found if is_same else None


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


def _load(
    pool: Pool,
    compiler: Compiler,
    runs: Runs,
    ready: Ready,
    point: Point | None,
    say: Callable[[str], None],
) -> None:
    """Load the program of the runs into a pool, with as many lanes as they had before a stop."""
    wanted = plan_of(ready.training, pool.place.platform)
    plan = _as_kept(wanted, ready.training, compiler, runs.program)
    if point is not None and point.lanes:
        plan = replace(plan, lanes=point.lanes)
    found = pool.load(runs.program, Plans(plan), ready.data)
    if found.lanes < wanted.lanes:
        say(fewer_text(found))


def _saved(folder: Path, ready: Ready, model: Model) -> Trained:
    """The result of a training, once its folder is written."""
    trained, weights, transforms, data = model
    experiment = ready.experiment
    # The outputs of a task of one's own mean something to its code alone.
    texts = {}
    if not isinstance(experiment.training, TaskTraining):
        told = Description.of(data)
        card = card_of(experiment.name, told, trained, data.fingerprint)
        texts = {MODEL_FILE: json.dumps(told.to_plain()) + "\n", CARD_FILE: card}
    document = ready.provenance.to_document()
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


def datasets_of(experiment: Experiment, around: Surroundings) -> DataSets:
    """The data sets of a training, of which each is read once."""
    return DataSets(
        experiment.folder,
        around.data_home,
        DataCache(around.data_cache),
        teacher_plan(experiment, trusts_code=around.trusts_code),
    )


def made_ready(
    experiment: Experiment,
    around: Surroundings,
    say: Callable[[str], None],
    datasets: DataSets,
) -> Ready:
    """The training of a spec and its data, once both are known to fit.

    Raises:
        HpoError: where they do not.
    """
    training: Any = experiment.training
    device = local_devices(around.device)[0]
    check_exported(training, is_trusted=around.trusts_code)
    tell_code(training, say)
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
    provenance = Provenance(
        library_versions(),
        describe([device]),
        data.fingerprint,
        code_of(training),
        weights_of(experiment),
    )
    # An own task has data of another section, or none.
    is_own = isinstance(training, TaskTraining)
    reference = DataReference(None, "") if is_own else datasets.reference(training.data)
    return Ready(experiment, training, data, reference, provenance)


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
            say(fewer_text(pool.halve()))
            runs.start_over()
    kept = runs.kept_epoch
    if not runs.are_at(kept):
        say(f"Epoch {kept} of {shown} is kept: the weights train again up to it.")
        runs.start_again(kept)
        _train(runs, pool, lambda _: None, say, look)


def plan_of(training: Training, platform: str) -> Plan:
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


def fewer_text(plan: Plan) -> str:
    """Says that a plan has fewer lanes than a training was to have."""
    count = count_text(plan.lanes, "lane")
    bits = ", so the last bits may differ from those of its study" if plan.form == "vmap" else ""
    return f"The memory has run out: training goes on with {count}{bits}."
