"""A whole trained model as one ONNX model: from the cells of rows to their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hpo.data.source import Source
from hpo.data.text.reduce import language_of
from hpo.data.transforms.encoding import OWN
from hpo.data.transforms.texts import text_fits
from hpo.errors import ExportError
from hpo.trained.ensembles.ensemble import Answering, Ensemble, models_of
from hpo.trained.exported.answers import add_answers, add_temperature
from hpo.trained.exported.features import (
    PAST,
    add_features,
    add_inputs,
    add_windows,
    text_name,
)
from hpo.trained.exported.graph import Graph
from hpo.trained.exported.integers import integer_network
from hpo.trained.exported.network import network
from hpo.trained.exported.precision import Precision, reduced
from hpo.trained.exported.standalone.predict import engine_options, windows_of
from hpo.trained.exported.standalone.texts import text_input
from hpo.trained.model import Member, Model
from hpo.trained.save import MEMBERS_FOLDER

ANSWERS, TOKENS = "answers", "tokens"
# The leaves of `data.text` that say how a text is cut.
_LEAVES = {"tokens", "lower", "punctuation", "shortest", "ngrams", "vectors", "length", "reduce"}


def onnx_model(
    model: Answering,
    precision: Precision = "float32",
    calibrating: Sequence[np.ndarray] | None = None,
) -> Any:
    """The answers for the cells of rows, float64 `[batch, ..., K]`: the mean of the members'.

    The networks are in a precision. In int8 they have the levels with which the model trained; for
    others the features of some rows are read, those of each member. What is before and after the
    networks stays as it is.

    Raises:
        ExportError: for a model with an operation that has no translation.
    """
    graph = Graph()
    takes = _inputs_of(graph, model)
    of_members = [None] * len(model.members) if calibrating is None else calibrating
    total, place = "", 0
    for one, share in _shares(model):
        parts = []
        for member in one.members:
            x = takes(one, member, place)
            inner = integer_network(one, member) if precision == "int8" else None
            if inner is None:
                inner = reduced(network(one, member), precision, of_members[place])
            outputs = graph.embed(inner, f"member_{place}_", x)
            parts.append(add_answers(graph, outputs, member.data))
            place += 1
        mean = _mean(graph, parts)
        if share != 1:
            mean = graph.add("Mul", mean, graph.constant(share, np.float64))
        total = graph.add("Add", total, mean) if total else mean
    shape = models_of(model)[0].program.output_shape
    graph.output(add_temperature(graph, total, model.temperature), ANSWERS, np.float64, shape)
    return graph.model()


def _shares(model: Answering) -> list[tuple[Model, float]]:
    """The models, and the share of each in the mean."""
    shares = model.shares if isinstance(model, Ensemble) else (1.0,)
    return [*zip(models_of(model), shares, strict=True)]


def _mean(graph: Graph, parts: Sequence[str]) -> str:
    mean, *others = parts
    for one in others:
        mean = graph.add("Add", mean, one)
    return graph.add("Div", mean, graph.constant(len(parts), np.float64)) if others else mean


def _inputs_of(graph: Graph, model: Answering) -> Callable[[Model, Member, int], str]:
    """The function that adds the features of a member, the number of which is the last argument.

    Raises:
        ExportError: for an ensemble of language models, or one with windows of different lengths.
    """
    features = model.description.features
    if model.description.task == "language":
        if isinstance(model, Ensemble):
            raise ExportError(
                f"{model.folder}: holds an ensemble of language models, which hpo predict does "
                f"not run either: give one of its models, below {model.folder / MEMBERS_FOLDER}."
            )
        tokens = graph.input(TOKENS, np.int32, model.description.shape)
        return lambda one, member, place: tokens
    windows = {(one.series.window, one.series.horizon) for one in models_of(model) if one.series}
    if len(windows) > 1:
        raise ExportError(
            f"{model.folder}: its models read windows of different lengths, and a graph takes "
            "one: export the best of them."
        )
    window = None if model.series is None else model.series.window
    inputs = add_inputs(graph, features, has_categories=_has_categories(model), window=window)

    def features_of(one: Model, member: Member, place: int) -> str:
        width, fit = one.description.shape[-1 if window else 0], member.data.transform
        if window is None:
            return add_features(graph, inputs, features, fit, width, place)
        rows, width = None, width - 1  # the last one is the past of the target
        if width:
            rows = add_features(graph, inputs, features, fit, width, place)
        return add_windows(graph, rows, fit, width, window)

    return features_of


def cells_of(source: Source, model: Answering) -> dict[str, np.ndarray]:
    """The inputs of the ONNX model for some examples; views where a row is a window."""
    features = model.description.features
    if model.description.task == "language":
        return {TOKENS: model.features_of(source)[0]}
    if not features.is_table and model.series is None:
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
    if model.series is None:
        return cells
    assert model.series.window is not None
    cells[PAST] = np.asarray(source.y, np.float64)
    return {name: windows_of(one, model.series.window) for name, one in cells.items()}


def _has_categories(model: Answering) -> bool:
    """Whether features are made of the cells of texts, and not of their tokens alone."""
    fits = [member.data.transform for member in model.members]
    columns = len(model.description.features.texts)
    return any(len(fit.free_texts) < columns or "flag_text" in fit.more for fit in fits)


def _texts_of(source: Source, model: Answering) -> dict[str, np.ndarray]:
    """The inputs of texts, made by what the script of an exported folder makes them with."""
    found: dict[str, np.ndarray] = {}
    for (name, column, empty), made in _text_makers(model).items():
        assert source.categories is not None
        texts, codes = source.values[column], source.categories[:, column].tolist()
        found[name] = made([empty if code < 0 else texts[code] for code in codes])
    return found


@lru_cache(maxsize=2)
def _text_makers(model: Answering) -> dict[tuple[str, int, str], Callable[..., np.ndarray]]:
    columns = {one.name: place for place, one in enumerate(model.description.features.texts)}
    return {
        (fit["input"], columns[fit["column"]], fit["empty"]): text_input(fit)
        for fit in text_inputs(model)
    }


def text_inputs(model: Answering) -> list[dict[str, Any]]:
    """What a script has to know to make the inputs of texts, as JSON."""
    found, texts = [], model.description.features.texts
    for place, member in enumerate(model.members):
        fit = member.data.transform
        for column, text in text_fits(fit.more).items():
            assert fit.text_fill is not None
            fill, spec = int(fit.text_fill[column]), text.spec
            found.append(
                {
                    "input": text_name(place, column),
                    "column": texts[column].name,
                    "empty": "" if fill == OWN else (texts[column].values or ())[fill],
                    **spec.model_dump(include=_LEAVES),
                    "language": language_of(spec),
                    "stop_words": [*spec.stop_words],
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
    parts = []
    for start in range(0, rows, batch):
        some = {
            name: np.ascontiguousarray(one[start : start + batch]) for name, one in cells.items()
        }
        parts.append(engine.run([ANSWERS], some)[0])
    return np.concatenate(parts)
