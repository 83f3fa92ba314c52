"""Trains a task of a user's own as lanes of compiled programs, as `lanes` trains models."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from hpo.data.cache import DataCache
from hpo.data.dataset import NO_DATA, DataSet
from hpo.engine.devices import describe, local_devices
from hpo.engine.energy import Meter, energy_counters
from hpo.engine.mesh import places
from hpo.engine.pools.streaming import budget_bytes, data_bytes
from hpo.engine.task_program import TaskProgram, split_task
from hpo.engine.training.task import task_of
from hpo.errors import HpoError
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.experiment import Experiment
from hpo.spec.fill import fill, with_rows
from hpo.spec.load import require_search
from hpo.spec.sections.sizes import size_text
from hpo.study.backends.backend import Crew
from hpo.study.backends.datasets import DataSets
from hpo.study.backends.planning import PlanTeller, plan_study
from hpo.study.backends.pretrained import weights_of
from hpo.study.backends.teacher import teacher_plan
from hpo.study.executors.local import local_executor
from hpo.study.executors.messages import DataReference
from hpo.study.loop.work import Work
from hpo.study.storage.provenance import Provenance, library_versions
from hpo.study.storage.trust import code_of, tell_code
from hpo.study.surroundings import Surroundings
from hpo.trial import HParams

if TYPE_CHECKING:
    from hpo.study.storage.journal import Journal  # imports the database, which hpo train needs not

_NO_REFERENCE = DataReference(None, "")


class TaskBackend:
    """Trains a task of a user's own, with or without data."""

    def __init__(
        self, experiment: Experiment, around: Surroundings, say: Callable[[str], None]
    ) -> None:
        self._experiment, self._cache = experiment, around.cache
        self._devices = local_devices(around.device)
        self._platform = str(self._devices[0].platform)
        searched = require_search(experiment).goal.metrics
        self._meter = Meter(energy_counters(self._devices, searched))
        self._datasets = DataSets(
            experiment.folder,
            around.data_home,
            DataCache(around.data_cache),
            teacher_plan(experiment, trusts_code=around.trusts_code),
        )
        training: Any = experiment.training
        tell_code(training, say)
        self._data = data_of(training, self._datasets)
        check_task(training, self._data, self._devices[0])
        for note in self._data.notes:
            say(note)
        self.provenance = Provenance(
            library_versions(),
            describe(self._devices),
            self._data.fingerprint,
            code_of(training),
            weights_of(experiment),
        )

    def start(
        self, journal: Journal, explain: Callable[[str], None], stack: ExitStack, *, learns: bool
    ) -> Crew:
        """Start a pool at each place, by the plan that is pinned or usual."""
        pools = places(self._devices, is_meshed=self._platform != "cpu")
        executor = local_executor(pools, self._cache, self._datasets.of, self._meter)
        stack.callback(executor.close)
        plan = plan_study(
            self._experiment, self._data, pools, learns, self._cache, journal, explain
        )
        teller = PlanTeller(plan.plans, journal, explain)
        return Crew(executor, self._prepare, plan.plans, teller.look, lambda: None)

    def baselines(self, journal: Journal, spent_seconds: float) -> None:
        """None: only its author knows what would be one."""

    def _prepare(self, hparams: HParams, number: int) -> Work:
        """A trial's work from its hparams and its number."""
        training: Any = fill(self._experiment.training, hparams, number)
        data = data_of(training, self._datasets)
        training = with_rows(training, data.train_rows)
        program, knobs = split_task(training, data, self._platform)
        task_of(program).shapes()  # so that a trial whose values break the code costs itself alone
        spec = training.data_spec
        reference = _NO_REFERENCE if spec is None else self._datasets.reference(spec)
        return Work(training, program, knobs, reference)


def data_of(training: TaskTraining, datasets: DataSets) -> DataSet:
    """The data of a training of an own task.

    Raises:
        HpoError: for data that are missing or broken, or smaller than a batch.
    """
    spec = training.data_spec
    return NO_DATA if spec is None else datasets.load(spec)


def check_task(training: TaskTraining, data: DataSet, device: Any) -> TaskProgram:
    """The program of a training, whose methods and data fit.

    Raises:
        HpoError: for a method that fails or gives what does not fit, for data that a device
            cannot hold whole, and for stored features.
    """
    spec = training.data_spec
    if spec is not None:
        if spec.store != "float32":
            raise HpoError("data.store: a task of your own reads float32: remove it.")
        if data.teacher:
            raise HpoError(
                "compression.teacher: a teacher of texts answers within the step of a model, and a "
                "task of your own has its own step: remove it."
            )
        if spec.extra is not None:
            raise HpoError("data.extra: a task of your own draws its rows itself: remove it.")
        budget = budget_bytes(spec, device)
        if budget is not None and data_bytes(data) > budget:
            raise HpoError(
                f"data.device_budget: the data take {size_text(data_bytes(data))} of "
                f"{size_text(budget)}, and a task of your own keeps them whole on the device: "
                "raise it, or set data.rows."
            )
    program, _ = split_task(with_rows(training, data.train_rows), data, device.platform)
    task_of(program).shapes()
    return program
