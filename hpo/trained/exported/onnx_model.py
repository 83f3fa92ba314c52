"""A whole trained model as one ONNX model: from the cells of rows to their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from hpo.data.source import Source
from hpo.data.transforms.encoding import OWN
from hpo.data.transforms.texts import text_fits
from hpo.errors import ExportError
from hpo.trained.exported.answers import add_answers, add_temperature
from hpo.trained.exported.features import add_features, add_inputs, text_name
from hpo.trained.exported.graph import Graph
from hpo.trained.exported.integers import integer_network
from hpo.trained.exported.network import network
from hpo.trained.exported.precision import Precision, reduced
from hpo.trained.exported.standalone.predict import engine_options
from hpo.trained.exported.standalone.texts import text_input
from hpo.trained.model import Model

ANSWERS = "answers"
# The leaves of `data.text` that say how a text is cut.
_LEAVES = {"tokens", "lower", "punctuation", "shortest", "ngrams", "vectors", "length"}


def onnx_model(model: Model, precision: Precision = "float32", rows: Source | None = None) -> Any:
    """The answers for the cells of rows, float64 `[batch, ..., K]`: the mean of the members'.

    The networks are in a precision. In int8 they have the levels with which the model trained; for
    others some `rows` are read. What is before and after the networks stays as it is.

    Raises:
        ExportError: for a model that takes what no graph reads, or whose rows have other answers.
    """
    check_kind(model)
    graph, features = Graph(), model.description.features
    inputs, found = add_inputs(graph, features, has_categories=_has_categories(model)), []
    for place, member in enumerate(model.members):
        width = model.description.shape[0]
        x = add_features(graph, inputs, features, member.data.transform, width, place)
        calibrating = None if rows is None else model.features(member, rows)
        inner = integer_network(model, member) if precision == "int8" else None
        if inner is None:
            inner = reduced(network(model, member), precision, calibrating)
        outputs = graph.embed(inner, f"member_{place}_", x)
        found.append(add_answers(graph, outputs, member.data))
    mean, *others = found
    for one in others:
        mean = graph.add("Add", mean, one)
    if others:
        mean = graph.add("Div", mean, graph.constant(len(found), np.float64))
    shape = model.program.output_shape
    mean = add_temperature(graph, mean, model.temperature)
    graph.output(mean, ANSWERS, np.float64, shape)
    return graph.model()


def check_kind(model: Model) -> None:
    """Refuse a model whose inputs a graph does not take.

    Raises:
        ExportError: which says what they are.
    """
    kind = None
    if getattr(model.training.data.dataset, "window", None) is not None:
        kind = "forecasts a series, whose windows hpo makes"
    elif model.description.task == "language":
        kind = "goes on with texts"
    if kind is not None:
        raise ExportError(
            f"{model.folder}: {kind}: use --format stablehlo, which takes encoded numbers."
        )


def cells_of(source: Source, model: Model) -> dict[str, np.ndarray]:
    """The inputs of the ONNX model for some examples."""
    features = model.description.features
    if not features.is_table:
        return {"x": source.x}
    cells = _texts_of(source, model)
    if features.numbers:
        cells["numbers"] = np.ascontiguousarray(source.x, np.float64)
    if source.categories is not None and features.texts and _has_categories(model):
        columns = [
            np.array([*texts, ""], object)[codes]  # the code of an empty cell is -1
            for codes, texts in zip(source.categories.T, source.values, strict=True)
        ]
        cells["texts"] = np.stack(columns, axis=1)
    return cells


def _has_categories(model: Model) -> bool:
    """Whether features are made of the cells of texts, and not of their tokens alone."""
    fits = [member.data.transform for member in model.members]
    columns = len(model.description.features.texts)
    return any(len(fit.free_texts) < columns or "flag_text" in fit.more for fit in fits)


def _texts_of(source: Source, model: Model) -> dict[str, np.ndarray]:
    """The inputs of texts, made by what the script of an exported folder makes them with."""
    found: dict[str, np.ndarray] = {}
    for (name, column, empty), made in _text_makers(model).items():
        assert source.categories is not None
        texts, codes = source.values[column], source.categories[:, column].tolist()
        found[name] = made([empty if code < 0 else texts[code] for code in codes])
    return found


@lru_cache(maxsize=2)
def _text_makers(model: Model) -> dict[tuple[str, int, str], Callable[..., np.ndarray]]:
    columns = {one.name: place for place, one in enumerate(model.description.features.texts)}
    return {
        (fit["input"], columns[fit["column"]], fit["empty"]): text_input(fit)
        for fit in text_inputs(model)
    }


def text_inputs(model: Model) -> list[dict[str, Any]]:
    """What a script has to know to make the inputs of texts, as JSON."""
    found, told = [], model.description.features.texts
    for place, member in enumerate(model.members):
        fit = member.data.transform
        for column, text in text_fits(fit.more).items():
            assert fit.text_fill is not None
            fill = int(fit.text_fill[column])
            leaves = text.spec.model_dump(include=_LEAVES)
            found.append(
                {
                    "input": text_name(place, column),
                    "column": told[column].name,
                    "empty": "" if fill == OWN else (told[column].values or ())[fill],
                    **leaves,
                    "stop_words": [*text.spec.stop_words],
                    "vocabulary": [*text.vocabulary],
                    "merges": None if text.merges is None else text.merges.tolist(),
                }
            )
    return found


def session(model: bytes) -> Any:
    """An engine of onnxruntime on the CPU that runs a model."""
    import onnxruntime

    options = engine_options()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def answers(engine: Any, cells: Mapping[str, np.ndarray], batch: int) -> np.ndarray:
    """The answers of an engine for cells, in batches."""
    rows = len(next(iter(cells.values())))
    parts = [
        engine.run([ANSWERS], {name: one[start : start + batch] for name, one in cells.items()})[0]
        for start in range(0, rows, batch)
    ]
    return np.concatenate(parts)
