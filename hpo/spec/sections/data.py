"""The data section of a spec: data set, splits, batch size and scaling."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from hpo.registry import DATASETS
from hpo.spec.file.urls import without_secrets
from hpo.spec.marks import (
    Count,
    Host,
    Merge,
    Names,
    Positive,
    Range,
    ReadWhere,
    Share,
    Spec,
    Static,
    fixed,
)
from hpo.spec.registered import Registered
from hpo.spec.sections.columns import Columns, Reduce, Text
from hpo.spec.sections.sizes import DeviceBudget, Storage
from hpo.spec.sections.split import ColumnSplit, SplitSpec, TimeSplit
from hpo.spec.sections.techniques.corrupt import Corrupt

Task = Literal["classification", "regression", "counts", "multilabel", "segmentation", "language"]
# Tasks with a class for each position of an example, and how many axes its positions have.
POSITION_AXES: Mapping[str, int] = {"segmentation": 2, "language": 1}


def _separator(written: Any) -> Any:
    r"""The separator that is meant: YAML reads `'\t'` as two characters, and it is a tab.

    Raises:
        ValueError: for text that cannot separate cells.
    """
    if not isinstance(written, str):
        return written
    meant = "\t" if written == r"\t" else written
    if len(meant) != 1 or not ((meant.isascii() and meant.isprintable()) or meant == "\t"):
        raise ValueError("is not one ASCII character: write one such as ';', or '\\t' for a tab")
    if meant.isalnum() or meant in "\"'.+-":
        raise ValueError("belongs to cells: write a character between them, such as ';'")
    return meant


def _unit(written: str) -> str:
    """A sign that stands beside numbers.

    Raises:
        ValueError: for one that belongs to a number itself.
    """
    if not written.strip() or re.search(r"[\d.,+-]|^\s|\s$", written):
        raise ValueError("is no sign beside a number: write one such as '$', '%' or 'EUR'")
    return written


def _encoding(name: str) -> str:
    """The name of an encoding of text.

    Raises:
        ValueError: for a name that Python does not know, or that is not for the text of a file.
    """
    try:
        b"a".decode(name, "ignore")
    except (LookupError, ValueError):
        text = "is no encoding that Python knows: write one such as gbk, latin-1 or utf-16"
        raise ValueError(text) from None
    return name


def _word(written: Any) -> Any:
    """A word as a file has it; numbers stand for themselves."""
    is_number = isinstance(written, (int, float)) and not isinstance(written, bool)
    return str(written) if is_number else written


_Word = Annotated[str, BeforeValidator(_word, json_schema_input_type=str | float)]


Targets = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]


_Path = Annotated[str, AfterValidator(without_secrets)]


class DropRows(Spec):
    """Which rows of a table are left out."""

    missing_target: bool = False
    """Leave out rows without a target, which are refused otherwise."""
    duplicates: bool = False
    """Leave out rows whose features and target are those of an earlier row."""
    rare_classes: Count = 1
    """Leave out rows of classes that have fewer rows than this; a class needs two to be judged."""


class TableFile(Spec):
    """What every format of a table has beside its path, which is the first field."""

    target: str | Targets
    """The column to predict, or a list of several: labels of 0 and 1, or quantities."""
    task: Literal["auto", "classification", "regression", "counts", "multilabel"] = "auto"
    """`auto` decides by the target's values."""
    drop: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Columns to leave out."""
    weight: str | None = None
    """A column with a weight for each row, for the loss and the metrics; it is no feature."""
    missing: Annotated[tuple[_Word, ...], Field(strict=False)] = ()
    """Further words for an empty cell, such as `["?", -999]`; NA, NaN, null and similar words of a
    text file are known."""
    drop_rows: DropRows = DropRows()
    """Rows to leave out."""
    validation: _Path | None = None
    """A file of the rows that validate, with the same columns; by default they are held out."""
    test: _Path | None = None
    """A file of the rows that test, with the same columns."""
    time: str | None = None
    """The column of dates or numbers that orders the rows of a series; only with `window`."""
    window: Count | None = None
    """A forecast: how many rows of the past, the target's own included, are the inputs of one
    example. The splits are then the earliest, later and latest rows."""
    horizon: Count = 1
    """How many rows after the window are forecast, each a target."""

    @model_validator(mode="before")
    @classmethod
    def _of_a_series(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("window") is None or "task" in values:
            return values
        return {**values, "task": "regression"}

    @model_validator(mode="after")
    def _whole_series(self) -> Self:
        if self.window is None:
            if self.time is not None or self.horizon != 1:
                raise ValueError("time and horizon are of a series: add window, or remove them")
            return self
        if self.time is None:
            raise ValueError("window needs time: name the column that orders the rows")
        if self.task != "regression":
            raise ValueError(f"window forecasts a quantity, and task is {self.task}: remove it")
        if not isinstance(self.target, str):
            raise ValueError("window forecasts one target, and target lists several: name one")
        if self.weight is not None:
            raise ValueError("windows have no weights: remove weight")
        for name in self.own_splits:
            raise ValueError(f"a series is split by its time: remove {name}")
        return self

    @property
    def own_splits(self) -> dict[str, str]:
        """The paths of the files for validation and test, by these names."""
        found = {"validation": self.validation, "test": self.test}
        return {name: path for name, path in found.items() if path is not None}

    @property
    def key(self) -> str:
        """The key of the format in YAML."""
        return next(iter(type(self).model_fields))

    @property
    def path(self) -> str:
        """The path as the spec has it."""
        path: str = getattr(self, self.key)
        return path

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return (self.target,) if isinstance(self.target, str) else self.target


class _Csv(Spec):  # a class of its own puts the path before the fields of every table
    csv: _Path
    """The file, relative to the spec's folder, then to HPO_DATA."""


class CsvFile(TableFile, _Csv):
    """A table, one row an example; `.gz` files are read as they are."""

    separator: Annotated[str, BeforeValidator(_separator)] = ","
    """The character between two cells; `'\\t'` for a tab, which a `.tsv` file has by default."""
    header: bool | None = None
    """Whether the first row names the columns; false: they are `column_1`, `column_2` and so on. By
    default it names them, with a warning where it looks like data."""
    skip: Annotated[int, Field(ge=0)] = 0
    """Lines to skip at the start of the file, before the header."""
    decimal: Literal[".", ","] = "."
    """The decimal point of its numbers: `,` where they are written as 1,5."""
    thousands: Literal[",", ".", " ", "'"] | None = None
    """What groups the digits of its large numbers, such as `,` in 1,106.5."""
    units: Annotated[tuple[Annotated[str, AfterValidator(_unit)], ...], Field(strict=False)] = ()
    """Signs that stand before or after its numbers and are left out, such as `["$", "%"]`: 6% is
    then the number 6."""
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    """How the file writes its characters, such as `gbk`, `latin-1` or `utf-16`."""

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError(
                f"thousands and decimal are both '{self.decimal}': write another one for one of "
                "them"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _with_tabs(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "separator" in values:
            return values
        name = str(values.get("csv")).lower().removesuffix(".gz")
        return {**values, "separator": "\t"} if name.endswith((".tsv", ".tab")) else values


class _Parquet(Spec):
    parquet: _Path
    """The file or folder, relative to the spec's folder, then to HPO_DATA."""


class ParquetFile(TableFile, _Parquet):
    """A Parquet file, or a folder of them as Spark and Hadoop write it."""


class _JsonLines(Spec):
    jsonl: _Path
    """The file, relative to the spec's folder, then to HPO_DATA."""


class JsonLines(TableFile, _JsonLines):
    """A file with one JSON object a line; `.gz` files are read as they are."""


class _Arrow(Spec):
    arrow: _Path
    """The file or folder, relative to the spec's folder, then to HPO_DATA."""


class ArrowData(TableFile, _Arrow):
    """An Arrow file, or a folder that `save_to_disk` of the package `datasets` has written."""


class IdxFolder(Spec):
    """A folder with four IDX files, as MNIST has them, gzipped or not."""

    task: ClassVar[Task] = "classification"

    idx: _Path
    """The folder, relative to the spec's folder, then to HPO_DATA."""


class NpzFile(Spec):
    """An NPZ file of arrays `x` and `y`, as `numpy.savez` writes them."""

    npz: _Path
    """The file, relative to the spec's folder, then to HPO_DATA. It may hold `weight`, and the same
    names with `_train`, `_validation` and `_test`."""
    task: Literal[
        "auto", "classification", "regression", "counts", "multilabel", "segmentation"
    ] = "auto"
    """`auto`: texts and whole numbers are classes, numbers with a fraction a regression; whole
    numbers `[rows, height, width]` are the classes of pixels, a segmentation."""


Side = Annotated[int, Field(ge=1, le=8192)]


class ImageFolder(Spec):
    """A folder of images, with a folder for each class."""

    task: ClassVar[Task] = "classification"

    images: _Path
    """The folder, relative to the spec's folder, then to HPO_DATA. Folders `train`, `validation`
    and `test` in it, each with folders of classes, are the splits."""
    size: Side | Annotated[tuple[Side, Side], Field(strict=False)] | None = None
    """Height and width that every image gets, as in `32` or `[32, 48]`; by default all must have
    the same."""
    colour: Literal["auto", "grey", "rgb"] = "auto"
    """One grey channel or three; `auto`: grey where all images are."""


class TextFile(Spec):
    """One text, of which a model learns what comes next; `.gz` files are read as they are."""

    task: ClassVar[Task] = "language"

    text: _Path
    """The file, relative to the spec's folder, then to HPO_DATA."""
    tokens: Literal["characters", "bytes", "bpe"] = "characters"
    """What the text is cut into. The characters are those of the training part; others of
    validation and test are one token. `bpe`: frequent parts of words and whole words, found in the
    training part."""
    vocabulary: Annotated[Count, ReadWhere("tokens", ("bpe",))] = 1000
    """The most different tokens of `bpe`; 256 of them are the bytes."""
    length: Count = 64
    """The tokens of an example, which begins where the one before it ends. Each of them is asked
    for the token after it."""
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    """How the file writes its characters, such as `gbk`, `latin-1` or `utf-16`."""


UNIT_RANGE = (0.0, 1.0)


def _of_a_table(split: SplitSpec | None, info: ValidationInfo) -> SplitSpec | None:
    """The split, which names a column and so needs a table.

    Raises:
        ValueError: for a data set whose columns have no names.
    """
    dataset = info.data.get("dataset")
    if split is not None and isinstance(
        dataset, str | IdxFolder | NpzFile | ImageFolder | TextFile
    ):
        raise ValueError("split names a column, and this data set has none: remove it")
    if isinstance(split, ColumnSplit) and info.data.get("folds") is not None:
        raise ValueError("column names the split of each row, and data.folds draws them: remove it")
    own = dataset.own_splits if split is not None and isinstance(dataset, TableFile) else {}
    if "validation" in own or (own and isinstance(split, ColumnSplit)):
        raise ValueError(f"has files of its own in dataset.{' and '.join(own)}: remove split")
    time = dataset.time if isinstance(dataset, TableFile) else None
    if time is not None and not (isinstance(split, TimeSplit) and split.time == time):
        cure = f"remove split, or write {{time: {time}}}"
        raise ValueError(f"a series is split by its time: {cure}")
    return split


_VALIDATION = 0.2


def _without_folds(validation: Any, info: ValidationInfo) -> Any:
    """The validation split, which is the usual one where there are folds.

    Raises:
        ValueError: for another one beside folds.
    """
    if info.data.get("folds") is not None and validation != _VALIDATION:
        raise ValueError(
            "is for a single split, and folds validate in turn: remove it, or write 0.2"
        )
    return validation


def _by_words(written: Any) -> Any:
    """Weights of classes, whose names may be numbers in YAML."""
    if not isinstance(written, Mapping):
        return written
    return {_word(name): weight for name, weight in written.items()}


_Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ClassWeight = (
    Literal["none", "balanced"]
    | Annotated[
        Mapping[str, _Weight],
        Field(min_length=1),
        BeforeValidator(_by_words),
        AfterValidator(fixed),
    ]
)


DataSetName = Annotated[str, Names(lambda: DATASETS)]


class DataSpec(Spec):
    """The data set, its splits, and how examples reach the model."""

    dataset: Annotated[Any, Registered("reader", tag=None, others=(DataSetName,))]
    """A data set of `hpo data list`, or files of your own: `csv`, `parquet`, `jsonl` and more."""
    rows: Count | None = None
    """Train on a stratified part of the set with this many rows."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Train each trial this many times and validate each time on another part of the rows. Classes
    keep their shares, groups stay whole, and with `time` each part is later than its training."""
    validation: Annotated[Share | Count, AfterValidator(_without_folds)] = _VALIDATION
    """A share of the rows, or a number of rows; with folds, each of them in turn."""
    test: Literal["auto"] | Share | Count = "auto"
    """A share or a number of rows; `auto`: the set's own test files where it has them, else a
    fifth; 0 for none."""
    split: Annotated[SplitSpec | None, AfterValidator(_of_a_table)] = None
    """The column of a table that decides which rows each split gets; by default they are drawn at
    random, and classes keep their shares."""
    split_seed: Annotated[int, Field(ge=0)] = 0
    """Decides which rows or groups each split gets, where they are drawn."""
    batch_size: Annotated[Static[Literal["all"] | Count], Merge.ROWS] = 64
    """Rows of one optimizer step; `all`: the whole training split in one step an epoch."""
    # Static although it compiles nothing: the labels of programs in stored studies depend on it.
    normalize: Static[Literal["standard", "minmax", "robust", "whiten", "none"]] = "standard"
    """How features are scaled, by the training split. `robust`, for tables: the median becomes 0,
    and the middle half of the values a range of 1. `whiten`: all scaled features get the variance 1
    and no correlation (ZCA); with `reduce`, the components do."""
    image_size: Static[Side | None] = None
    """Pixels of the longer side that images get; the other keeps its proportion. By default they
    stay as they are read, and they never become larger."""
    epsilon: Annotated[Host[Positive], ReadWhere("normalize", ("whiten",))] = 1.0e-5
    """What `whiten` adds to each variance, so that directions without any are not blown up."""
    reduce: Reduce = Reduce()
    """Fewer features than there are, found in the training split; all of them by default."""
    range: Annotated[Host[Range], ReadWhere("normalize", ("minmax",))] = UNIT_RANGE
    """The two ends that `minmax` scales the training split to."""
    clip: Host[Positive | None] = None
    """Bend the scaled numbers x of a table towards this bound c, by x / sqrt(1 + (x/c)^2), so that
    outliers count less; 3 suits `robust`."""
    target_range: Range | None = None
    """The ends between which every target of a regression lies; they are scaled to 0 and 1."""
    columns: Columns = Columns()
    """How the columns of a table become features."""
    text: Text = Text()
    """How the text columns of a table become features."""
    class_weight: Static[ClassWeight] = "none"
    """`balanced` gives all classes the same total weight in training, and changes no metric. A
    mapping such as `{spam: 3.0}` multiplies the weights of the rows of a class."""
    extra: str | None = None
    """A file of further rows to train on, such as generated ones, with the columns or arrays of the
    data set; relative to the spec's folder. They never validate or test, and nothing is fitted to
    them. `sampling.extra_share` is their share."""
    corrupt: Corrupt = Corrupt()
    """Corrupted rows, by which `corrupted_accuracy` judges."""
    store: Storage = "float32"
    """The type of features on a device. `uint8`, for images, holds a quarter of the bytes, and each
    step scales its rows; `float16` holds half of them, rounded to 3 digits."""
    device_budget: DeviceBudget = "auto"
    """How much of each device's memory data may take, such as 2GiB; a larger set is streamed in
    chunks, with the same results. `auto`: half of the memory."""

    @model_validator(mode="before")
    @classmethod
    def _by_time(cls, values: Any) -> Any:
        """A series is split by its time."""
        if not isinstance(values, Mapping) or values.get("split") is not None:
            return values
        dataset = values.get("dataset")
        if isinstance(dataset, TableFile):
            dataset = {"window": dataset.window, "time": dataset.time}
        if not isinstance(dataset, Mapping) or dataset.get("window") is None:
            return values
        if not isinstance(dataset.get("time"), str):
            return values
        return {**values, "split": {"time": dataset["time"]}}

    @property
    def maps_features(self) -> bool:
        """Whether scaled features are mapped to others, by whitening or to fewer."""
        return self.normalize == "whiten" or self.reduce.name != "none"

    @property
    def step_rows(self) -> int:
        """The batch size as a number, which `all` has once the data are read (`with_rows`)."""
        assert self.batch_size != "all"
        return self.batch_size


def tasks_of(data: DataSpec) -> tuple[Task, ...]:
    """The tasks that a data set may be of: one, where its values need not be read to tell."""
    dataset, every = data.dataset, get_args(Task)
    written: tuple[Any, ...]
    if isinstance(dataset, str):
        written = DATASETS[dataset].tasks[:1] if dataset in DATASETS else ()
    else:
        written = (getattr(dataset, "task", None),)
    if known := tuple(task for task in every if task in written):
        return known
    if isinstance(dataset, TableFile):
        are_several = len(dataset.targets) > 1
        return ("multilabel", "regression") if are_several else ("classification", "regression")
    if isinstance(dataset, NpzFile):
        return ("classification", "regression", "multilabel", "segmentation")
    return every
