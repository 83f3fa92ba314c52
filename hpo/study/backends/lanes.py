"""Trains trials as lanes of compiled programs, in pools on the devices of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from typing import Any

import numpy as np

from hpo.data.cache import DataCache
from hpo.data.class_weights import imbalance
from hpo.data.dataset import DataSet
from hpo.engine.devices import describe, local_devices
from hpo.engine.energy import Meter, energy_counters
from hpo.engine.mesh import places
from hpo.engine.pools.streaming import budget_bytes, placement_of, streaming_text
from hpo.engine.program import Program, split
from hpo.engine.programs.footprint import known_costs
from hpo.engine.techniques import check_techniques
from hpo.engine.training.task import task_of
from hpo.engine.training.techniques.sampling import check_sampling
from hpo.engine.training.techniques.updates import check_updates
from hpo.errors import HpoError
from hpo.search.schedulers.make import outline
from hpo.space import Choice, Dimension
from hpo.spec.experiment import Experiment, Training
from hpo.spec.fill import fill, with_rows
from hpo.spec.load import require_search
from hpo.spec.merging import Merging
from hpo.spec.registered import needs_of
from hpo.spec.sections.models.pretrained import folder_of
from hpo.spec.sections.scheduler import budget_of
from hpo.study.backends.backend import Crew
from hpo.study.backends.datasets import DataSets, check_metrics, check_threshold, say_files
from hpo.study.backends.latency import Latencies, Trained, settled_engine
from hpo.study.backends.own_numbers import (
    check_changes,
    check_rows,
    decide,
    decided,
    obey_or_note,
    sentence,
)
from hpo.study.backends.planning import PlanTeller, learn_costs, plan_study
from hpo.study.backends.precision import AUTO, Precisions
from hpo.study.backends.pretrained import weights_of, with_start
from hpo.study.backends.teacher import teacher_plan
from hpo.study.baselines.beside import Allowance, Baselines, can_be_judged
from hpo.study.executors.local import local_executor
from hpo.study.executors.messages import Arrays
from hpo.study.log.notes import EXPORTED
from hpo.study.loop.predictions import validation_predictions
from hpo.study.loop.rung_sizes import RungSizes
from hpo.study.loop.varied import varied_for
from hpo.study.loop.work import Work
from hpo.study.storage.journal import Journal
from hpo.study.storage.provenance import Provenance, library_versions
from hpo.study.storage.trust import code_of, tell_code
from hpo.study.surroundings import Surroundings
from hpo.techniques import TECHNIQUES
from hpo.trial import HParam, HParams

# Where values stand that an optimizer which takes all rows in one step may not go with.
_BESIDE_ALL_ROWS = ("data.batch_size", "model", "loss")


class LaneBackend:
    """Trains a model on a data set; trials of equal programs share a pool."""

    def __init__(
        self, experiment: Experiment, around: Surroundings, say: Callable[[str], None]
    ) -> None:
        self._search = require_search(experiment)
        self._cache, training = around.cache, experiment.training
        self._devices = local_devices(around.device)
        self._platform = str(self._devices[0].platform)
        self._meter = Meter(energy_counters(self._devices, self._search.goal.metrics))
        say_files(experiment, around.data_home, say)
        tell_code(training, say)
        self._datasets = DataSets(
            experiment.folder,
            around.data_home,
            DataCache(around.data_cache),
            teacher_plan(experiment, trusts_code=around.trusts_code),
        )
        self._data = self._datasets.load(training.data)
        searched = self._search.goal.metrics
        check_metrics("search", searched, self._data, {})
        others = [name for name in training.train.metrics if name not in searched]
        check_metrics("train.metrics", others, self._data, training.own_metrics)
        check_threshold(training.train.threshold, self._data)
        self._numbers = decide(training, self._data, self._platform, say)
        check_changes(experiment, self._numbers)
        self._experiment = decided(experiment, self._numbers)
        self._sizes = _rung_sizes(self._experiment, self._data)
        _check_fit(self._experiment, self._datasets, self._devices[0], self._sizes)
        _check_techniques(self._experiment, self._data, self._devices[0])
        for note in self._data.notes:
            say(note)
        if text := streaming_text(self._data, training.data, self._devices[0]):
            say(text)
        self.provenance = Provenance(
            library_versions(),
            describe(self._devices),
            self._data.fingerprint,
            code_of(training),
            weights_of(experiment),
            _private_rows(experiment, self._data),
        )
        self._say = say

    def start(
        self, journal: Journal, explain: Callable[[str], None], stack: ExitStack, *, learns: bool
    ) -> Crew:
        """Start a pool at each place, by the plan that is pinned or best now."""
        numbers = obey_or_note(self._numbers, journal)
        if text := sentence(self._experiment, numbers):
            self._say(text)
        unbalanced = imbalance(self._data, self._experiment.training.data)
        if unbalanced and len(journal.state.starts) == 1:
            self._say(unbalanced)
        self._experiment = decided(self._experiment, numbers)
        # Small models keep a core busy each; accelerators gain by more lanes at once.
        pools = places(self._devices, is_meshed=self._platform != "cpu")
        precisions = Precisions(pools[0], self._cache, journal, self._say, self._meter.alone)
        executor = local_executor(pools, self._cache, self._datasets.of, self._meter)
        stack.callback(executor.close)
        plan = plan_study(
            self._experiment, self._data, pools, learns, self._cache, journal, explain
        )
        teller = PlanTeller(plan.plans, journal, explain)

        def close() -> None:
            if self._platform == "cpu":
                learn_costs(self._cache, executor.program_times())

        prepare = self._preparer(plan.merging, journal, precisions)
        return Crew(
            executor, prepare, plan.plans, teller.look, close, self._sizes, self._predictions
        )

    def baselines(self, journal: Journal, spent_seconds: float) -> Baselines | None:
        """Models of scikit-learn on the data of the spec, beside the trials."""
        asked, goal = self._search.baselines, self._search.goal
        if asked is False or not can_be_judged(self._data, goal):
            return None
        allowance = Allowance(None if asked is True else asked)
        training = self._experiment.training
        return Baselines(self._data, training, goal, allowance, journal, spent_seconds)

    def _preparer(
        self, merging: Merging, journal: Journal, precisions: Precisions
    ) -> Callable[[HParams, int], Work]:
        """Makes a trial's work from its hparams and its number."""
        is_auto = self._experiment.training.train.precision == AUTO
        experiment, platform, state = self._experiment, self._platform, journal.state

        def trained(hparams: HParams, number: int) -> tuple[Training, DataSet]:
            training = merging.of(fill(experiment.training, hparams, number))
            data = self._datasets.load(training.data)
            return with_start(with_rows(training, data.train_rows), data, experiment.folder), data

        latencies = self._latencies(trained, journal)
        # The first of all equal programs serves every trial, so that its label is computed once.
        programs: dict[Program, Program] = {}

        def prepare(hparams: HParams, number: int) -> Work:
            training, data = trained(hparams, number)
            varying = varied_for(state, number, experiment)
            training = precisions.settled(training, data, varying)
            is_whole = self._sizes is None or "data.image_size" not in hparams
            if is_auto and is_whole:
                precisions.note(number, training)
            program, knobs = split(training, data, platform, varying)
            program = programs.setdefault(program, program)
            costs: dict[str, float] = {}
            if is_whole:  # nobody reads those of smaller images
                costs |= known_costs(training, data, platform, self._search.goal.metrics)
                costs |= {} if latencies is None else latencies.costs(training, data)
            reference = self._datasets.reference(training.data)
            return Work(training, program, knobs, reference, costs=costs)

        return prepare

    def _predictions(self, work: Work, states: Mapping[str, Arrays]) -> np.ndarray | None:
        """What a trial predicts for the validation rows."""
        assert isinstance(work.program, Program)
        data = self._datasets.of(work.data)
        return validation_predictions(work.program, work.training, data, states)

    def _latencies(self, trained: Trained, journal: Journal) -> Latencies | None:
        """What measures the latency of a trial before it trains; None where that is not asked."""
        metrics, space = self._search.goal.metrics, self._experiment.space
        engine = settled_engine(metrics, space, trained, self._platform, journal)
        if engine is not None:
            self._say(str(engine))
        if engine is None or engine.name != EXPORTED:
            return None
        return Latencies(trained, self._platform, journal.state, self._meter.alone)


def _rung_sizes(experiment: Experiment, data: DataSet) -> RungSizes | None:
    """The sizes of images at the rungs of a search, where they grow.

    Raises:
        HpoError: for data that are no images with one answer each.
    """
    search = experiment.search
    if search is None or budget_of(search.scheduler) != "size":
        return None
    shape = data.train.example_shape
    if len(shape) != 3 or data.positions:
        what = "each pixel has a class" if data.positions else "these examples are no images"
        raise HpoError(
            f"search.scheduler.budget: size is of images with one answer, and {what}: write "
            "budget: epochs."
        )
    return RungSizes(max(shape[:2]), experiment.training.train.epochs)


def _check_fit(
    experiment: Experiment, datasets: DataSets, device: Any, sizes: RungSizes | None
) -> None:
    """Refuse batch sizes, budgets, models and losses that the data do not fit, before any trial."""
    training, dimensions = experiment.training, experiment.space.by_path
    search = experiment.search
    fills: list[HParams] = [{}]
    paths = ["data.batch_size", "data.image_size", "model", "model.name", "loss", "loss.name"]
    if weights_of(experiment):  # every size must be that of the trained model
        paths += [d.path for d in dimensions.values() if _is_size(d) and d.path not in paths]
    for path in paths:
        if path in dimensions:
            fills += [{path: value} for value in _ends(dimensions[path])]
    fills += _whole_batches(experiment)
    if sizes is not None and search is not None:
        planned = outline(search.scheduler, sizes.epochs, search.trials)
        rungs = sizes.of_all(planned.budgets)
        models = [own for own in fills if own.keys() <= {"model", "model.name"}]
        fills += [{**own, "data.image_size": size} for own in models for size in rungs]
    # With these a batch is filled last, and updates are fewest.
    fewest: dict[str, HParam] = {
        path: end(value for value in _ends(dimensions[path]) if isinstance(value, float | int))
        for path, end in (("sampling.share", min), ("updates.accumulate", max))
        if path in dimensions
    }
    cure = "write a larger share"
    if search is not None and budget_of(search.scheduler) == "share":
        epochs = training.train.epochs
        budgets = outline(search.scheduler, epochs, search.trials).budgets
        fewest["sampling.share"] = min(budgets) / epochs
        cure = "raise search.scheduler.min_epochs"
    for hparams in fills:
        candidate = fill(training, {**fewest, **hparams}, 0)
        data = datasets.load(candidate.data)
        candidate = with_rows(candidate, data.train_rows)
        check_sampling(candidate, data, cure)
        check_updates(candidate, data)
        candidate = with_start(candidate, data, experiment.folder)
        program, _ = split(candidate, data, device.platform)
        if hparams:
            check_rows(candidate, program, data)
        task = task_of(program)
        task.shapes()
        if folder_of(candidate.model) is not None:
            task.initial(candidate)
        # It refuses a budget that is too small to stream the data.
        placement_of(data, candidate.data.step_rows, 1, budget_bytes(candidate.data, device))


def _ends(dimension: Dimension) -> Sequence[HParam]:
    """The values of a choice, or both ends of a range."""
    of = dimension.distribution
    return of.values if isinstance(of, Choice) else (of.low, of.high)


def _whole_batches(experiment: Experiment) -> Iterator[HParams]:
    """Each optimizer of a space that takes all rows in one step, with other batches and models."""
    training, space = experiment.training, experiment.space
    for path in ("optimizer", "optimizer.name"):
        values = getattr(getattr(space.by_path.get(path), "distribution", None), "values", ())
        for value in values:
            chosen = {path: value}
            if "all rows" not in needs_of("optimizer", fill(training, chosen, 0).optimizer):
                continue
            yield chosen
            for other in space.dimensions:
                if other.path.startswith(_BESIDE_ALL_ROWS) and space.is_active(other, chosen):
                    yield from ({**chosen, other.path: end} for end in _ends(other))


def _check_techniques(experiment: Experiment, data: DataSet, device: Any) -> None:
    """Refuse techniques of the space that the data, the model or streaming exclude."""
    training = with_rows(experiment.training, data.train_rows)
    budget = budget_bytes(training.data, device)
    is_streamed = placement_of(data, training.data.step_rows, 1, budget).train is not None
    for hparams in _techniques(experiment.space.dimensions):
        program, _ = split(fill(training, hparams, 0), data, device.platform)
        check_techniques(program, is_streamed=is_streamed)


def _techniques(dimensions: Sequence[Dimension]) -> Iterator[HParams]:
    """Each value of the techniques of a space, with each normalisation of its model."""
    lines = [line for line in TECHNIQUES.values() if line.needs or line.excludes]
    places = {"optimizer.name", *(line.place for line in lines)}
    chosen: list[HParams] = [{}]
    norms: list[HParams] = [{}]
    ranges: HParams = {}
    for dimension in dimensions:
        distribution = dimension.distribution
        if isinstance(distribution, Choice):
            values: list[HParams] = [{dimension.path: value} for value in distribution.values]
            chosen += values if dimension.path in places else []
            is_norm = dimension.path == "model.norm" and dimension.when is None
            norms += values if is_norm else []
        elif dimension.path in places:
            ranges = {**ranges, dimension.path: distribution.high}
    for one, norm in product(chosen, norms):
        yield {**ranges, **one, **norm}


def _is_size(dimension: Dimension) -> bool:
    """Whether a dimension is a leaf of the model, of a few values, that is always active."""
    is_listed = isinstance(dimension.distribution, Choice)
    return is_listed and dimension.when is None and dimension.path.startswith("model.")


def _private_rows(experiment: Experiment, data: DataSet) -> int:
    """The training rows whose privacy a study spends; 0 if its trainings are not private."""
    varies = any(d.path.startswith("privacy.") for d in experiment.space.dimensions)
    return data.train_rows if varies or experiment.training.privacy.is_on else 0
