"""`latency_ms` of a study: by which engine it is measured, and that of each shape, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from hpo.data.dataset import DataSet
from hpo.engine.programs.footprint import own_program
from hpo.errors import HpoError
from hpo.space import Choice, Dimension
from hpo.spec.experiment import Training
from hpo.study.log.events import StudyState
from hpo.study.log.notes import EXPORTED, Engine, decided_engine
from hpo.trained.exported.latency import exported_call, fastest_ms
from hpo.trial import HParams

if TYPE_CHECKING:
    from hpo.study.storage.journal import Journal  # imports SQLAlchemy

METRIC = "latency_ms"
# What a trial with some hparams trains, and on which data.
Trained = Callable[[HParams, int], tuple[Training, DataSet]]


def settled_engine(
    metrics: Iterable[str],
    dimensions: Iterable[Dimension],
    trained: Trained,
    platform: str,
    journal: Journal,
) -> Engine | None:
    """The engine that a study has noted, or else onnxruntime where all its models can be exported.

    None for a study that asks for no latency.

    Raises:
        HpoError: for a study that was measured by onnxruntime, where this is not installed now.
    """
    if METRIC not in metrics:
        return None
    known = decided_engine(journal.state.notes)
    if known is None:
        is_begun = any(METRIC in costs for costs in journal.state.costs.values())
        why = "its first trials were" if is_begun else _obstacle(dimensions, trained, platform)
        known = Engine("JAX" if why else EXPORTED, why)
        journal.record(known)
    elif known.name == EXPORTED and (why := _obstacle((), trained, platform)):
        raise HpoError(f"search: {METRIC}: the study measured it by onnxruntime, and now {why}")
    return known


def _obstacle(dimensions: Iterable[Dimension], trained: Trained, platform: str) -> str:
    """Why a model of the space cannot be exported; empty if all can that one choice makes."""
    fills: list[HParams] = [{}]
    for one in dimensions:
        if isinstance(one.distribution, Choice) and one.path.startswith("model"):
            fills += [{one.path: value} for value in one.distribution.values]
    try:
        for hparams in fills:
            exported_call(*trained(hparams, 0), platform)
    except HpoError as error:
        return str(error)
    return ""


class Latencies:
    """The latency of each shape in onnxruntime, measured once and while no lane trains."""

    def __init__(
        self,
        trained: Trained,
        platform: str,
        state: StudyState,
        alone: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._trained, self._platform, self._alone = trained, platform, alone
        self._known: dict[Any, float] = {}
        self._stored = {
            costs[METRIC]: number for number, costs in state.costs.items() if METRIC in costs
        }
        self._state = state

    def costs(self, training: Training, data: DataSet) -> Mapping[str, float]:
        """That of a trial's model.

        Raises:
            HpoError: for a model that cannot be exported.
        """
        self._recall()
        shape = self._shape(training, data)
        if shape not in self._known:
            try:
                call = exported_call(training, data, self._platform)
            except HpoError as error:
                raise HpoError(
                    f"search: {METRIC}: the study measures it by onnxruntime, and of this trial "
                    f"{error}"
                ) from None
            with self._alone():
                self._known[shape] = fastest_ms(call)
        return {METRIC: self._known[shape]}

    def _recall(self) -> None:
        """Take the latencies that the study has stored: trials of one shape have the same."""
        stored, self._stored = self._stored, {}
        for latency, number in stored.items():
            training, data = self._trained(self._state.trial(number).hparams, number)
            self._known.setdefault(self._shape(training, data), latency)

    def _shape(self, training: Training, data: DataSet) -> Any:
        program = own_program(training, data, self._platform)
        weights = getattr(training.compression, "weights", None)
        return program.model, program.example_shape, weights, data.fingerprint
