"""How fast a model answers: `hpo bench`, and `latency_ms` of one before it is trained.

Rows are drawn, and go from their cells to answers as in `hpo predict`; files are neither read nor
written.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hpo.data.dataset import DataSet
from hpo.data.source import Source
from hpo.engine.devices import available_bytes
from hpo.engine.models.abstract import abstract_model
from hpo.engine.programs.footprint import call_seconds, own_program
from hpo.engine.training.compression.inputs import without_added
from hpo.errors import HpoError
from hpo.spec.experiment import Training
from hpo.trained.description import Description
from hpo.trained.ensembles.ensemble import Answering, models_of
from hpo.trained.exported.comparing import rows_at_once
from hpo.trained.exported.folder import check_extra
from hpo.trained.exported.precision import PRECISIONS, NoProductError
from hpo.trained.model import Member, Model

# Rows that the model takes at once.
BATCHES = (1, 8, 64, 512)
_LAYERS_HELD = 4  # by an engine at once, as large as the widest
_LEAST_SECONDS = 0.3  # of the calls whose median counts
# Drawn rows that calibrate int8, whose speed does not depend on them.
_CALIBRATING = 64
_WORDS = "some words of a text"


class Timing(NamedTuple):
    """The median time of a call of an engine with some rows."""

    engine: str
    rows: int
    milliseconds: float

    @property
    def rows_a_second(self) -> float:
        """The rows that it answers in a second, call after call."""
        return 1000 * self.rows / self.milliseconds


class Drawn(NamedTuple):
    """Rows that are drawn: as examples, or as the tokens that a language model takes."""

    source: Source | None
    tokens: np.ndarray | None = None

    def features(self, model: Answering) -> list[np.ndarray]:
        """What each member of a model takes."""
        if self.source is None:
            assert self.tokens is not None
            return [self.tokens] * len(model.members)
        return model.features_of(self.source)

    def cells(self, model: Answering) -> dict[str, np.ndarray]:
        """What the graph of a model takes."""
        from hpo.trained.exported.onnx_model import TOKENS, cells_of

        if self.source is None:
            assert self.tokens is not None
            return {TOKENS: self.tokens}
        return cells_of(self.source, model)


def timings(model: Answering, clock: Callable[[], float] = time.perf_counter) -> Iterator[Timing]:
    """The times of each engine at hand, for each number of rows whose answers fit in memory."""
    calls: dict[str, Callable[[Drawn, int], Any]] = {"jax": partial(_by_jax, model)}
    if without_engine(model) is None:
        calls |= _engines(model)
    for rows in BATCHES:
        if not _fits(model, rows):
            break
        drawn = drawn_rows(model, rows)
        for engine_name, call in calls.items():
            seconds = call_seconds(partial(call, drawn, rows), _LEAST_SECONDS, clock)
            yield Timing(engine_name, rows, 1000 * statistics.median(seconds))


def _fits(model: Answering, rows: int) -> bool:
    """Whether some rows, and what the widest layer makes of them, fit in memory."""
    if rows == 1:
        return True
    available = available_bytes()
    needed = _LAYERS_HELD * rows * max(one.row_bytes for one in models_of(model))
    return rows <= rows_at_once(model) and (available is None or needed <= available)


def _engines(model: Answering) -> dict[str, Callable[[Drawn, int], Any]]:
    """What onnxruntime runs of a model, by name: in each precision that its network can have."""
    from hpo.trained.exported.onnx_model import onnx_model, session

    calls: dict[str, Callable[[Drawn, int], Any]] = {}
    for precision in PRECISIONS:
        try:
            rows = min(_CALIBRATING, rows_at_once(model))
            features = drawn_rows(model, rows).features(model)
            found = onnx_model(model, precision, features)
        except NoProductError:
            continue
        engine = session(found.SerializeToString())
        name = "onnxruntime" if precision == "float32" else precision
        calls[name] = partial(_by_engine, model, engine)
    return calls


def without_engine(model: Answering) -> str | None:
    """Why onnxruntime cannot run a model; None where it can."""
    try:
        check_extra("onnx")
        from hpo.trained.exported.onnx_model import onnx_model

        onnx_model(model)
    except HpoError as error:
        return str(error)
    return None


def _by_jax(model: Answering, drawn: Drawn, rows: int) -> np.ndarray:
    return model.mean_of(drawn.features(model), rows)


def _by_engine(model: Answering, engine: Any, drawn: Drawn, rows: int) -> np.ndarray:
    from hpo.trained.exported.onnx_model import answers

    return answers(engine, drawn.cells(model), rows)


def drawn_rows(model: Answering, rows: int) -> Drawn:
    """Examples of the model's columns, or arrays of its shape, with drawn cells.

    Of a series they are as many rows as have this number of windows.
    """
    rng, description = np.random.default_rng(0), model.description
    features, series = description.features, model.series
    if description.task == "language":
        tokens = rng.integers(0, description.outputs, (rows, *description.shape))
        return Drawn(None, tokens.astype(np.int32))
    if not features.is_table and series is None:
        shape = (rows, *features.shape)
        is_whole = np.dtype(features.type).kind in "biu"
        x = rng.integers(0, 2, shape) if is_whole else rng.normal(size=shape)
        return Drawn(Source(x=x.astype(features.type), y=np.zeros(rows), target="drawn rows"))
    if series is not None:
        assert series.window is not None
        rows += series.window - 1
    values = [list(column.values or (_WORDS,)) for column in features.texts]
    codes = [rng.integers(0, len(texts), rows) for texts in values]
    mean = model.data.transform.target_mean  # the past of a series lies about it
    return Drawn(
        Source(
            x=rng.normal(size=(rows, len(features.numbers))),
            y=np.full(rows, mean) if series is not None else np.zeros(rows),
            target="drawn rows",
            names=tuple(column.name for column in features.numbers),
            text_names=tuple(column.name for column in features.texts),
            categories=np.stack(codes, axis=1).astype(np.int32) if codes else None,
            values=tuple(values),
        )
    )


def exported_call(training: Training, data: DataSet, platform: str) -> Callable[[], Any]:
    """A call of the engine with one row, from its cells to its answer.

    The values of weights do not matter, so they are none that a trial has.

    Raises:
        ExportError: for a model that cannot be exported, or if onnxruntime is not installed.
    """
    check_extra("onnx")
    from hpo.trained.exported.onnx_model import answers, onnx_model, session

    model = _untrained(training, data, platform)
    cells = drawn_rows(model, 1).cells(model)
    return partial(answers, session(onnx_model(model).SerializeToString()), cells, 1)


def exported_shape(training: Training, data: DataSet, platform: str) -> Hashable:
    """What decides the graph that `exported_call` runs: other trainings of it take as long."""
    program, between = own_program(training, data, platform), training.compression.activations
    is_cut = between.bits is not None and between.name, between.top is not None
    return program.model, program.example_shape, is_cut, data.fingerprint


def fastest_ms(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """The milliseconds of the shortest of many calls: other work can only slow one down."""
    return 1000 * min(call_seconds(call, clock=clock))


def _untrained(training: Training, data: DataSet, platform: str) -> Model:
    """A model of the training's own shape; of folds, that of the first one."""
    data = data.members[0]
    program = own_program(training, data, platform)
    shapes = abstract_model(program.of_its_own(training))
    arrays = {"params": without_added(shapes.params), "variables": shapes.variables}
    weights = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.01, leaf.dtype), arrays)
    description = Description.of(data)
    member = Member(weights, description.data_of(data.transform), None)
    return Model(Path("the model"), training, description, (member,), program)
