"""`latency_ms` of a study: by which engine it is measured, and that of each shape, once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

import numpy as np

from hpo.data.dataset import DataSet
from hpo.errors import ExportError, HpoError
from hpo.space import Choice, Dimension, NothingAllowedError, SearchSpace, values_of
from hpo.spec.code.frames import CodeError
from hpo.spec.experiment import Training
from hpo.study.log.events import StudyState
from hpo.study.log.notes import EXPORTED, Engine, decided_engine
from hpo.trained.exported.bench import exported_call, exported_shape, fastest_ms
from hpo.trained.exported.folder import check_extra
from hpo.trial import HParam, HParams

if TYPE_CHECKING:
    from hpo.study.storage.journal import Journal  # imports SQLAlchemy

METRIC = "latency_ms"
# What a trial with some hparams trains, and on which data.
Trained = Callable[[HParams, int], tuple[Training, DataSet]]


def settled_engine(
    metrics: Iterable[str],
    space: SearchSpace,
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
        why = "its first trials were" if is_begun else _obstacle(space, trained, platform)
        known = Engine("JAX" if why else EXPORTED, why)
        journal.record(known)
    elif known.name == EXPORTED:
        try:
            check_extra("onnx")
        except ExportError as error:
            raise HpoError(
                f"search: {METRIC}: the study measured it by onnxruntime, and now {error}"
            ) from None
    return known


def _obstacle(space: SearchSpace, trained: Trained, platform: str) -> str:
    """Why a model of the space cannot be exported; empty if all can that one choice makes."""
    seen: set[Hashable] = set()
    for hparams in _fills(space):
        # Where code of the user's own fails with a value, its trials do.
        with suppress(CodeError):
            training, data = trained(hparams, 0)
            shape = exported_shape(training, data, platform)
            if shape in seen:
                continue
            seen.add(shape)
            try:
                exported_call(training, data, platform)
            except ExportError as error:
                return str(error)
    return ""


def _fills(space: SearchSpace) -> Iterator[HParams]:
    """The hparams of a first trial, and those with each value of each choice."""
    firsts = [0.0] * len(space)
    yield from _allowed(space, firsts, {})
    for one in space.dimensions:
        given: dict[str, HParam] = {}
        above: Dimension = one
        while above.when is not None:
            given[above.when.path] = above.when.values[0]
            above = space.by_path[above.when.path]
        for value in values_of(one.distribution) if isinstance(one.distribution, Choice) else ():
            yield from _allowed(space, firsts, {**given, one.path: value})


def _allowed(space: SearchSpace, positions: Sequence[float], given: HParams) -> Iterator[HParams]:
    """The hparams there, or a draw where rules forbid these; none if they forbid all."""
    hparams = space.completed(space.at(positions, given))
    if space.allows(hparams):
        yield hparams
        return
    with suppress(NothingAllowedError):
        yield space.draw(np.random.default_rng(0), given)


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
        self._known: dict[Hashable, float] = {}
        self._stored = {
            costs[METRIC]: number for number, costs in state.costs.items() if METRIC in costs
        }
        self._state = state

    def costs(self, training: Training, data: DataSet) -> Mapping[str, float]:
        """That of a trial's model.

        Raises:
            ExportError: for a model that cannot be exported.
        """
        self._recall()
        shape = exported_shape(training, data, self._platform)
        if shape not in self._known:
            try:
                call = exported_call(training, data, self._platform)
            except ExportError as error:
                raise ExportError(
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
            self._known.setdefault(exported_shape(training, data, self._platform), latency)
