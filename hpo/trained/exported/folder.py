"""Exports a trained model: a folder that onnxruntime runs alone, or a file of StableHLO."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hpo.data.new.validation import validation_rows
from hpo.data.readers.tables.table import EMPTY_WORDS, missing_words
from hpo.data.source import Source
from hpo.engine.training.ensemble import metrics_of
from hpo.engine.training.metrics.temperature import tempered
from hpo.engine.training.targets.sums import targets_of
from hpo.errors import DataError, ExportError, HpoError
from hpo.spec.sections.data import CsvFile, TableFile
from hpo.trained.answers import answer_names
from hpo.trained.exported import standalone
from hpo.trained.exported.answers import scale_of
from hpo.trained.exported.precision import TOLERANCES, Precision
from hpo.trained.exported.slim import slimmed, units_of
from hpo.trained.model import BATCH, Model
from hpo.trained.predict import read_new
from hpo.trained.writing import check_here

MODEL_FILE, SCHEMA_FILE, SCRIPT_FILE = "model.onnx", "schema.json", "predict.py"
TEXTS_FILE, REQUIREMENTS_FILE = "texts.py", "requirements.txt"
_REQUIREMENTS = "numpy>=2.1\nonnxruntime>=1.23\n"
_NEEDED = {"onnx": ("onnx", "onnxruntime"), "stablehlo": ("flatbuffers",)}
_FILES = {MODEL_FILE, SCHEMA_FILE, SCRIPT_FILE, TEXTS_FILE, REQUIREMENTS_FILE}
# Those of the model and of its export, by these names.
Metrics: TypeAlias = dict[str, dict[str, float]]


class Exported(NamedTuple):
    """What was written: its bytes, and the largest difference from the model over some rows.

    That of quantities is in deviations of the target; that of chances and counts from 1 on. The
    metrics are those of the answers of the model and of the export, where rows have targets. So are
    the hidden units, where those that are cut are left out. Of int8 with the levels of the model,
    `kept` says what has them, and `rows_apart` counts rows that differ by more than rounding.
    """

    size: int
    rows: int
    difference: float
    metrics: Metrics | None = None
    units: dict[str, int] | None = None
    kept: str | None = None
    rows_apart: int | None = None


def check_extra(form: str) -> None:
    """Refuse an export in a format whose libraries are not installed.

    Raises:
        ExportError: which says how to install them.
    """
    lacking = [name for name in _NEEDED[form] if find_spec(name) is None]
    if lacking:
        are = "are" if len(lacking) > 1 else "is"
        raise ExportError(
            f"--format {form}: needs {' and '.join(lacking)}, which {are} not installed: run "
            "`pip install 'hpo-lanes[onnx]'`."
        )


def rows_to_compare(
    model: Model, data: Path | None, folders: Sequence[Path], home: Path | None
) -> Source:
    """The examples of a file of new data, or else those that validate by the model's spec.

    The spec's relative paths start at one of the `folders`.

    Raises:
        HpoError: if there are none, or they are others than in the training.
    """
    if data is not None:
        return read_new(model, data).source
    why = "it names none"
    for folder in folders:
        try:
            source = validation_rows(model.training.data, folder, home)
        except DataError as error:
            why = str(error)
            continue
        if _is_like(source, model):
            return source
        why = "its columns or categories are not those of the training"
    raise HpoError(
        f"{model.folder}: the validation rows of its spec cannot be read ({why[:200]}): run this "
        "where they are, or give rows of the same columns with --rows FILE."
    )


def _is_like(source: Source, model: Model) -> bool:
    """Whether examples have the columns and categories of the training."""
    features = model.description.features
    if not features.is_table:
        return source.x.shape[1:] == features.shape and str(source.x.dtype) == features.type
    texts = zip(features.texts, source.values, strict=False)
    return (
        [one.name for one in features.texts] == [*source.text_names]
        and len(features.numbers) == source.x.shape[1]
        and all(one.values is None or [*one.values] == [*values] for one, values in texts)
    )


def difference(model: Model, found: np.ndarray, expected: np.ndarray) -> float:
    """How far answers are apart at most."""
    return float(_differences(model, found, expected).max())


def _differences(model: Model, found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    unit = np.maximum(1, np.abs(expected))
    if model.description.task == "regression":
        unit = np.broadcast_to(scale_of(model.data)[0], expected.shape)
    apart: np.ndarray = np.abs(found - expected) / unit
    return apart


def _rows_apart(model: Model, found: np.ndarray, source: Source) -> int:
    """How many rows have other answers than the model's, by more than sums in another order."""
    expected = tempered(model.predictions(source), model.temperature)
    apart = _differences(model, found, expected).reshape(len(found), -1).max(1)
    return int((apart > TOLERANCES["float32"]).sum())


def export_onnx(
    model: Model,
    folder: Path,
    source: Source,
    tolerance: float,
    precision: Precision = "float32",
    *,
    is_judged: bool = False,
    is_replaced: bool = False,
) -> Exported:
    """Write a folder with the model, its script and what this reads.

    The rows of `source` are compared, and are judged if they have targets. They calibrate int8,
    unless the model has trained with levels of its own, which are kept.

    Raises:
        HpoError: for a model that cannot be translated, or answers otherwise.
    """
    from hpo.trained.exported.integers import levels_kept
    from hpo.trained.exported.onnx_model import answers, cells_of, onnx_model, session

    check_free(folder, _FILES, is_replaced=is_replaced)
    slim = slimmed(model)
    data = onnx_model(slim, precision, source).SerializeToString()
    found = answers(session(data), cells_of(source, model), BATCH)
    compared = _compared(model, found, source, tolerance, precision, is_judged=is_judged)
    schema = schema_of(model)
    cuts = {one["tokens"] for one in schema["text_inputs"]}
    texts = {
        SCHEMA_FILE: json.dumps(schema, indent=1) + "\n",
        SCRIPT_FILE: _script(SCRIPT_FILE),
        REQUIREMENTS_FILE: _REQUIREMENTS + ("jieba>=0.42.1\n" if "jieba" in cuts else ""),
    }
    if cuts:
        texts[TEXTS_FILE] = _script(TEXTS_FILE)

    def write(partial: Path) -> None:
        partial.mkdir(parents=True)
        (partial / MODEL_FILE).write_bytes(data)
        for name, text in texts.items():
            (partial / name).write_text(text, encoding="utf-8")

    _written(folder, write)
    kept = levels_kept(slim) if precision == "int8" else None
    apart = None if kept is None else _rows_apart(model, found, source)
    return Exported(len(data), len(source), *compared, _units(model, slim), kept, apart)


def _script(name: str) -> str:
    return files(standalone).joinpath(name).read_text(encoding="utf-8")


def export_stablehlo(
    model: Model,
    file: Path,
    source: Source,
    tolerance: float,
    *,
    is_judged: bool = False,
    is_replaced: bool = False,
) -> Exported:
    """Write the bytes of `jax.export`, which takes encoded numbers.

    Raises:
        HpoError: for a model that cannot be exported, or answers otherwise.
    """
    from jax import export

    from hpo.trained.exported.network import stablehlo

    check_free(file, set(), is_replaced=is_replaced)
    slim = slimmed(model)
    data = stablehlo(slim)
    deserialize: Any = export.deserialize
    call = deserialize(bytearray(data)).call
    x = model.features(model.members[0], source)
    parts = [np.asarray(call(x[start : start + BATCH])) for start in range(0, len(x), BATCH)]
    found = np.concatenate(parts)
    compared = _compared(model, found, source, tolerance, "float32", is_judged=is_judged)
    _written(file, lambda partial: partial.write_bytes(data))
    return Exported(len(data), len(source), *compared, _units(model, slim))


def _compared(
    model: Model,
    found: np.ndarray,
    source: Source,
    tolerance: float,
    precision: Precision,
    *,
    is_judged: bool,
) -> tuple[float, Metrics | None]:
    """The difference of the answers of an export from the model's, and the metrics of both."""
    chances = model.predictions(source)
    apart = difference(model, found, tempered(chances, model.temperature))
    metrics = None
    if is_judged:  # as in training, by the chances without the temperature
        own = tempered(found, 1 / model.temperature)
        metrics = _metrics(model, {"model": chances, "export": own}, source)
    if not apart <= tolerance:
        judged = "" if metrics is None else f" ({loss_text(metrics)})"
        out = "" if precision == "float32" else " or a finer --precision"
        raise HpoError(
            f"{model.folder}: the export answers up to {apart:.2g} apart from the model, more than "
            f"--tolerance {tolerance:g}{judged}: nothing was written. Give another tolerance if "
            f"that is near enough{out}."
        )
    return apart, metrics


def _metrics(model: Model, answers: Mapping[str, np.ndarray], source: Source) -> Metrics | None:
    """The metrics of answers for rows with targets; None for a task whose answers have none."""
    told = model.description
    if targets_of(told.task, told.outputs).outputs is None:
        return None
    split = model.judged(source)
    return {
        name: metrics_of(one, model.training, model.data, split, model.thresholds)
        for name, one in answers.items()
    }


def _units(model: Model, slim: Model) -> dict[str, int] | None:
    """The hidden units of a model and of its export; None where it has them all."""
    whole, left = units_of(model), units_of(slim)
    return None if left == whole else {"model": whole, "export": left}


def loss_text(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """What an export loses of each metric: `accuracy 0.98 -> 0.97`."""
    pairs = ((name, one, metrics["export"][name]) for name, one in metrics["model"].items())
    return ", ".join(f"{name} {before:.4g} -> {after:.4g}" for name, before, after in pairs)


def schema_of(model: Model) -> Mapping[str, Any]:
    """What the script of an exported folder has to know of the cells and answers, as JSON."""
    from hpo.trained.exported.onnx_model import text_inputs

    told, dataset = model.description, model.training.data.dataset
    words = missing_words(dataset) if isinstance(dataset, TableFile) else []
    thresholds = model.thresholds
    if thresholds is not None and told.classes:  # which are for chances without a temperature
        chances = np.array([[1 - thresholds[0], thresholds[0]]])
        thresholds = tempered(chances, model.temperature)[0, 1:]
    return {
        "task": told.task,
        "answers": [*answer_names(told)],
        "classes": [*told.classes],
        "thresholds": None if thresholds is None else thresholds.tolist(),
        "numbers": [[*one] for one in told.features.numbers],
        "texts": [[one.name, [*(one.values or ())]] for one in told.features.texts],
        "text_inputs": text_inputs(model),
        "type": told.features.type,
        "shape": [*told.features.shape],
        "separator": dataset.separator if isinstance(dataset, CsvFile) else ",",
        "missing": sorted({*EMPTY_WORDS, *words}),
    }


def check_free(path: Path, files: set[str], *, is_replaced: bool) -> None:
    """Refuse a place for an export: a folder of these files, or a file where there are none.

    Raises:
        HpoError: for a URL, and for what stands there already.
    """
    check_here(path)
    if path.is_symlink() or not path.absolute().parent.is_dir():
        raise HpoError(f"-o {path}: cannot be written there: give a name in a folder that exists.")
    if not path.exists():
        return
    held = {one.name for one in path.iterdir()} - {"__pycache__"} if path.is_dir() else set()
    if path.is_dir() != bool(files) or held - files:
        raise HpoError(f"-o {path}: is something else already: give another name.")
    if (held or not files) and not is_replaced:
        raise HpoError(f"-o {path}: exists: give another name, or --force to replace it.")


def _written(path: Path, write: Callable[[Path], object]) -> None:
    """Write under another name and then rename, so that nobody reads a half-written export.

    Raises:
        HpoError: if it cannot be written; no part of it is then left behind.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        _remove(partial)
        write(partial)
        _remove(path)
        partial.rename(path)
    except OSError as error:
        _remove(partial)
        raise HpoError(f"-o {path}: cannot be written ({error.strerror}): give another.") from None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
