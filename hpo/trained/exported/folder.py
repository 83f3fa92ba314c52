"""Exports a trained model: a folder that onnxruntime runs alone, or a file of StableHLO."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hpo.data.new.table import training_ranges
from hpo.data.new.validation import validation_rows
from hpo.data.readers.tables.table import EMPTY_WORDS, missing_words
from hpo.data.source import Source
from hpo.engine.training.metrics.temperature import tempered
from hpo.errors import DataError, ExportError, HpoError
from hpo.spec.sections.data import CsvFile, TableFile, TextFile
from hpo.trained.answers import answer_names
from hpo.trained.ensembles.ensemble import Answering, block_rows, models_of
from hpo.trained.exported import standalone
from hpo.trained.exported.comparing import Metrics, compared
from hpo.trained.exported.precision import Precision
from hpo.trained.kinds.series import forecast_names
from hpo.trained.kinds.text import language_model, text_in, token_bytes
from hpo.trained.model import Model, data_of_training
from hpo.trained.predict import read_new
from hpo.trained.save import ONNX_FILE, SCRIPT_FILE
from hpo.trained.writing import check_here

if TYPE_CHECKING:
    from hpo.trained.exported.integers import Kept

SCHEMA_FILE = "schema.json"
TABLES_FILE, TEXTS_FILE = "tables.py", "texts.py"
REQUIREMENTS_FILE = "requirements.txt"
_REQUIREMENTS = "numpy>=2.1\nonnxruntime>=1.23\n"
# What the leaves of `data.text` need beside these.
_LIBRARIES = (
    ("tokens", "jieba", "jieba>=0.42.1"),
    ("reduce", "stem", "snowballstemmer>=3.1"),
    ("reduce", "lemma", "simplemma>=2.0"),
)
_NEEDED = {"onnx": ("onnx", "onnxruntime"), "stablehlo": ("flatbuffers",)}
_FILES = {
    *(ONNX_FILE, SCHEMA_FILE, SCRIPT_FILE),
    *(TABLES_FILE, TEXTS_FILE, REQUIREMENTS_FILE),
}


class Exported(NamedTuple):
    """What was written: its bytes, and the largest difference from the model over some rows.

    The metrics are those of the answers of the model and of the export, where rows have targets. So
    are the hidden units, where some are cut, with the cut ones that `stay`. Of int8 with the levels
    of the model, `kept` says what has them, and `rows_apart` counts rows apart by more than
    rounding.
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
    model: Answering,
    data: Path | None,
    folders: Sequence[Path],
    home: Path | None,
    *,
    is_trusted: bool = False,
) -> Source:
    """The examples of a file of new data, or else those that validate by the model's spec.

    The spec's relative paths start at one of the `folders`. A function of the user's own that gave
    the rows runs if it `is_trusted`.

    Raises:
        HpoError: if there are none, or they are others than in the training.
    """
    if data is not None and model.description.task == "language":
        return text_in(language_model(model, model.folder), data)
    if data is not None:
        return read_new(model, data).source
    spec, why = data_of_training(models_of(model)[0], is_trusted=is_trusted), "it names none"
    for folder in folders:
        try:
            source = validation_rows(spec, folder, home)
        except DataError as error:
            why = str(error)
            continue
        if _is_like(source, model):
            return source
        why = "its columns or categories are not those of the training"
    raise HpoError(
        f"{model.folder}: the validation rows of its spec cannot be read ({why[:200]}): run this "
        "where they are, or give rows of the same columns with --rows DATA."
    )


def _is_like(source: Source, model: Answering) -> bool:
    """Whether examples have the columns and categories of the training."""
    features = model.description.features
    if model.description.task == "language":
        return source.is_text
    if not features.is_table:
        return source.x.shape[1:] == features.shape and str(source.x.dtype) == features.type
    texts = zip(features.texts, source.values, strict=False)
    return (
        [one.name for one in features.texts] == [*source.text_names]
        and len(features.numbers) == source.x.shape[1]
        and all(one.values is None or [*one.values] == [*values] for one, values in texts)
    )


def export_onnx(
    model: Answering,
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
    from hpo.trained.exported.network import units_left
    from hpo.trained.exported.onnx_model import answers, cells_of, onnx_model, session

    check_free(folder, _FILES, is_replaced=is_replaced)
    data = onnx_model(model, precision, model.features_of(source)).SerializeToString()
    engine, cells, at_once = session(data), cells_of(source, model), block_rows(model)

    def export(rows: slice) -> np.ndarray:
        return answers(engine, {name: one[rows] for name, one in cells.items()}, at_once)

    result = compared(model, source, export, tolerance, precision, is_judged=is_judged)
    texts = _texts_of(model)

    def write(partial: Path) -> None:
        partial.mkdir(parents=True)
        (partial / ONNX_FILE).write_bytes(data)
        for name, text in texts.items():
            (partial / name).write_text(text, encoding="utf-8")

    _written(folder, write)
    kept = _kept(model) if precision == "int8" else None
    apart = None if kept is None else result.rows_apart
    units = units_left(model)
    return Exported(len(data), result.rows, result.difference, result.metrics, units, kept, apart)


def _kept(model: Answering) -> Kept | None:
    """What of the levels of all models is kept; None where one of them has no whole numbers."""
    from hpo.trained.exported.integers import levels_kept

    found = {levels_kept(one) for one in models_of(model)}
    if None in found:
        return None
    return "weights" if "weights" in found else "weights and activations"


def _texts_of(model: Answering) -> dict[str, str]:
    """The files beside that of the graph."""
    is_language = model.description.task == "language"
    schema = language_schema(model) if is_language else schema_of(model)
    fits = schema["text_inputs"]
    needed = [line for leaf, value, line in _LIBRARIES if any(fit[leaf] == value for fit in fits)]
    found = {
        SCHEMA_FILE: json.dumps(schema, indent=1) + "\n",
        SCRIPT_FILE: _script("language.py" if is_language else SCRIPT_FILE),
        REQUIREMENTS_FILE: _REQUIREMENTS + "".join(f"{line}\n" for line in needed),
    }
    if not is_language and (schema["series"] or not schema["type"]):
        found[TABLES_FILE] = _script(TABLES_FILE)
    if fits or schema.get("cut") == "bpe":
        found[TEXTS_FILE] = _script(TEXTS_FILE)
    return found


def _script(name: str) -> str:
    return files(standalone).joinpath(name).read_text(encoding="utf-8")


def export_stablehlo(
    model: Answering,
    file: Path,
    source: Source,
    tolerance: float,
    precision: Precision = "float32",
    *,
    is_judged: bool = False,
    is_replaced: bool = False,
) -> Exported:
    """Write the bytes of `jax.export`, which takes encoded numbers.

    Raises:
        HpoError: for a model that cannot be exported, or answers otherwise.
    """
    from jax import export

    from hpo.trained.exported.network import stablehlo, units_left

    check_free(file, set(), is_replaced=is_replaced)
    data = stablehlo(model, precision)
    deserialize: Any = export.deserialize
    call = deserialize(bytearray(data)).call
    x, at_once = model.features_of(source)[0], block_rows(model)

    def answers(rows: slice) -> np.ndarray:
        starts = range(rows.start, rows.stop, at_once)
        parts = [np.asarray(call(x[start : min(start + at_once, rows.stop)])) for start in starts]
        return np.concatenate(parts)

    result = compared(model, source, answers, tolerance, precision, is_judged=is_judged)
    _written(file, lambda partial: partial.write_bytes(data))
    return Exported(len(data), result.rows, result.difference, result.metrics, units_left(model))


def schema_of(model: Answering) -> dict[str, Any]:
    """What the script of an exported folder has to know of the cells and answers, as JSON."""
    from hpo.trained.exported.onnx_model import text_inputs

    description, dataset, series = model.description, model.training.data.dataset, model.series
    words = missing_words(dataset) if isinstance(dataset, TableFile) else []
    thresholds = model.thresholds
    # They are for chances without a temperature.
    if thresholds is not None and description.classes:
        chances = np.array([[1 - thresholds[0], thresholds[0]]])
        thresholds = tempered(chances, model.temperature)[0, 1:]
    return {
        "task": description.task,
        "answers": [*(answer_names(description) if series is None else forecast_names(series))],
        "classes": [*description.classes],
        "thresholds": None if thresholds is None else thresholds.tolist(),
        "numbers": [[*one] for one in description.features.numbers],
        "texts": [[one.name, [*(one.values or ())]] for one in description.features.texts],
        "untrained": [_untrained(model, place) for place in range(len(description.features.texts))],
        "ranges": training_ranges(
            description.features, [one.data.transform for one in model.members]
        ),
        "text_inputs": text_inputs(model),
        "series": None if series is None else _series_schema(model, series),
        "type": description.features.type,
        "shape": [*description.features.shape],
        "separator": dataset.separator if isinstance(dataset, CsvFile) else ",",
        "missing": sorted({*EMPTY_WORDS, *words}),
    }


def _untrained(model: Answering, place: int) -> list[list[str]]:
    """The categories of a text column that no training row has, as each of the members says.

    Members that say the same are listed once, and those for which any category is as good are not.
    """
    values = model.description.features.texts[place].values
    found: dict[tuple[str, ...], None] = {}
    for member in model.members:
        known = member.data.transform.known_categories(place)
        if known is not None and values is not None:
            have = {*known.tolist()}
            found[tuple(text for code, text in enumerate(values) if code not in have)] = None
    return [[*texts] for texts in found]


def _series_schema(model: Answering, series: TableFile) -> dict[str, Any]:
    (target,), ends = series.targets, model.data.transform.target_range
    return {
        "time": series.time,
        "target": target,
        "window": series.window,
        "range": None if ends is None else [*map(float, ends)],
    }


def language_schema(model: Answering) -> dict[str, Any]:
    """What the script of an exported language model has to know of its tokens, as JSON.

    Each token is a text with a letter for each of its bytes; that of unknown ones is empty.
    """
    assert isinstance(model, Model)
    text, more = model.training.data.dataset, model.data.transform.more
    assert isinstance(text, TextFile)
    return {
        "task": "language",
        "tokens": [one.decode("latin-1") for one in token_bytes(model, text)],
        "cut": text.tokens,
        "merges": more["merges"].tolist() if text.tokens == "bpe" else None,
        "length": text.length,
        "encoding": text.encoding,
        "text_inputs": [],
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
