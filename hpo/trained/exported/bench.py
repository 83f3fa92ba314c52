"""How fast a trained model answers: `hpo bench`.

Rows are drawn, and go from their cells to answers as in `hpo predict`; files are neither read nor
written.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from hpo.data.source import Source
from hpo.engine.programs.footprint import call_seconds
from hpo.errors import HpoError
from hpo.trained.exported.folder import check_extra
from hpo.trained.exported.precision import PRECISIONS, NoProductError
from hpo.trained.model import Model

# Rows that the model takes at once.
BATCHES = (1, 8, 64, 512)
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


def timings(model: Model, clock: Callable[[], float] = time.perf_counter) -> Iterator[Timing]:
    """The times of each engine at hand, for each number of rows."""
    calls: dict[str, Callable[[Source], Any]] = {"jax": partial(_by_jax, model)}
    if without_engine(model) is None:
        calls |= _engines(model)
    for rows in BATCHES:
        source = drawn_rows(model, rows)
        for engine_name, call in calls.items():
            seconds = call_seconds(partial(call, source), _LEAST_SECONDS, clock)
            yield Timing(engine_name, rows, 1000 * statistics.median(seconds))


def _engines(model: Model) -> dict[str, Callable[[Source], Any]]:
    """What onnxruntime runs of a model, by name: in each precision that its network can have."""
    from hpo.trained.exported.onnx_model import onnx_model, session

    calls: dict[str, Callable[[Source], Any]] = {}
    for precision in PRECISIONS:
        try:
            found = onnx_model(model, precision, drawn_rows(model, _CALIBRATING))
        except NoProductError:
            continue
        engine = session(found.SerializeToString())
        name = "onnxruntime" if precision == "float32" else precision
        calls[name] = partial(_by_engine, model, engine)
    return calls


def without_engine(model: Model) -> str | None:
    """Why onnxruntime cannot run a model; None where it can."""
    try:
        check_extra("onnx")
        from hpo.trained.exported.onnx_model import onnx_model

        onnx_model(model)
    except HpoError as error:
        return str(error)
    return None


def _by_jax(model: Model, source: Source) -> np.ndarray:
    return model.predictions(source, len(source))


def _by_engine(model: Model, engine: Any, source: Source) -> np.ndarray:
    from hpo.trained.exported.onnx_model import answers, cells_of

    return answers(engine, cells_of(source, model), len(source))


def drawn_rows(model: Model, rows: int) -> Source:
    """Examples of the model's columns, or arrays of its shape, with drawn cells."""
    rng, features = np.random.default_rng(0), model.description.features
    if not features.is_table:
        shape = (rows, *features.shape)
        is_whole = np.dtype(features.type).kind in "biu"
        x = rng.integers(0, 2, shape) if is_whole else rng.normal(size=shape)
        return Source(x=x.astype(features.type), y=np.zeros(rows), target="drawn rows")
    values = [list(column.values or (_WORDS,)) for column in features.texts]
    codes = [rng.integers(0, len(texts), rows) for texts in values]
    return Source(
        x=rng.normal(size=(rows, len(features.numbers))),
        y=np.zeros(rows),
        target="drawn rows",
        names=tuple(column.name for column in features.numbers),
        text_names=tuple(column.name for column in features.texts),
        categories=np.stack(codes, axis=1).astype(np.int32) if codes else None,
        values=tuple(values),
    )
