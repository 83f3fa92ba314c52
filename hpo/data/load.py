"""Loads the data set that the `data` section of a spec describes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from hpo.data import mapped
from hpo.data.cache import DataCache
from hpo.data.class_weights import weighed
from hpo.data.dataset import SPLITS, DataSet, Split, of_folds, scale_of, stored
from hpo.data.files import find_own, key_of, source_files, split_files
from hpo.data.folds import Fold, group_folds, random_folds, time_folds
from hpo.data.leaks import leak_notes
from hpo.data.sequences.language import text_data
from hpo.data.sequences.series import in_time_order, series_of, windowed
from hpo.data.sequences.windows import Windows
from hpo.data.source import Source, fingerprint_of
from hpo.data.split import (
    SplitSizes,
    before_test,
    gap_of,
    split_groups,
    split_rows,
    split_sizes,
    split_times,
)
from hpo.data.text.stop_words import with_stop_words
from hpo.data.transforms.features import Features
from hpo.data.transforms.resizing import resized, smaller
from hpo.data.transforms.transform import FittedTransform, fit_transform
from hpo.errors import DataError
from hpo.registry import DATASETS, READERS, function
from hpo.spec.sections.columns import Columns, Text
from hpo.spec.sections.data import UNIT_RANGE, DataSpec, Task
from hpo.spec.sections.split import ColumnSplit, GroupSplit, TimeSplit
from hpo.spec.words import shown, unknown_name

# Few enough that what scaling needs beside its result is small, enough that its calls cost little.
_ROWS_AT_ONCE = 1024


def load_data(
    spec: DataSpec, folder: Path, home: Path | None, cache: DataCache | None = None
) -> DataSet:
    """The data set of `spec`, split, encoded and scaled; the same for the same spec and files.

    The spec's relative paths start at `folder`, then at `home`, the folder of downloaded data sets.
    A data set in `cache` is not prepared again.

    Raises:
        DataError: if the data are missing, broken or unfit.
    """
    files = source_files(spec, folder, home)
    key = cache.key(spec, files) if cache is not None and files and _is_ours(spec) else None
    data = cache.read(key) if cache is not None and key is not None else None
    if data is None:
        with mapped.mapped_in(None if cache is None else cache.scratch()):
            data = _prepared(spec, folder, home)
        # The windows of a series or a text are as quick to make as to read.
        if cache is not None and key is not None and not isinstance(data.train.shared, Windows):
            cache.write(key, data)
            if mapped.is_large(data.train.shared["x"].nbytes):
                data = cache.read(key) or data  # so that the disk holds it once
    return _completed(data, spec, folder)


def load_whole(spec: DataSpec, folder: Path, home: Path | None) -> DataSet:
    """The data set of a spec with folds in which all of their rows train.

    It validates on the test rows, or on training rows where there are none.

    Raises:
        DataError: if the data are missing, broken or unfit.
    """
    return _completed(_prepared(spec, folder, home, is_whole=True), spec, folder)


def _completed(data: DataSet, spec: DataSpec, folder: Path) -> DataSet:
    """Prepared data with what the cache leaves out, so that all kinds share an entry."""
    if spec.extra is not None:
        from hpo.data.new.extra import with_extra  # imports the readers of new data

        data = with_extra(data, spec, folder)
    return stored(weighed(data, spec.class_weight), spec.store)


def check_batch_size(spec: DataSpec, data: DataSet) -> None:
    """Refuse a batch that is larger than the training split of `data`.

    Raises:
        DataError: if it is.
    """
    rows = data.train_rows
    if spec.batch_size != "all" and spec.batch_size > rows:
        of = " of the smallest fold" if data.folds else ""
        raise DataError(
            f"data.batch_size: {spec.batch_size} is larger than the {rows} training rows{of}: "
            f"write {rows} or less, or all, or make data.validation or data.test smaller."
        )


def _prepared(
    spec: DataSpec, folder: Path, home: Path | None, *, is_whole: bool = False
) -> DataSet:
    source = read_source(spec, folder, home)
    _check_columns(spec, source)
    series = series_of(spec)
    if spec.folds and source.is_text:
        raise DataError("data.folds: a text is split by its order: remove data.folds.")
    if source.is_text:
        return text_data(spec, source)
    if series is not None:
        source = in_time_order(source, series)
    rows = fold_rows(spec, source) if spec.folds else None
    if rows is not None and not is_whole and _shares_images(spec, source):
        return _image_folds(spec, source, rows)
    folds = [parted(spec, source)] if rows is None else _fold_parts(source, rows, is_whole=is_whole)
    text = with_stop_words(spec.text, folder)
    scaling = spec.normalize, spec.range, spec.clip
    fits = [
        fit_transform(
            parts[0],
            *scaling,
            columns=spec.columns,
            text=text,
            folder=folder,
            target_range=spec.target_range,
            reduce=spec.reduce,
            epsilon=spec.epsilon,
            image_size=spec.image_size,
        )
        for parts in folds
    ]
    if spec.text != Text() and not fits[0].has_texts:
        raise DataError(
            "data.text: this data set has no column of text: write type: text for one in "
            "data.columns.by_name, or remove data.text."
        )
    found: list[DataSet] = []
    encoded = _encoded(folds, fits)
    if series is not None:
        if fits[0].categories:
            raise DataError(
                "data.columns: encode: embed is for the rows of a table, and an example here is a "
                "window of a series: write one_hot or ordinal."
            )
        encoded = windowed(encoded, series)
    for parts, transform, splits in zip(folds, fits, encoded, strict=True):
        leaks = [] if found else leak_notes(spec, parts)  # those of all folds are alike
        fingerprint = fingerprint_of(
            parts,
            _scaling(spec, text, transform.of_files),
            with_texts=spec.columns != Columns() or transform.has_texts,
        )
        data = _data_set(spec, source, parts, splits, transform, fingerprint)
        found.append(replace(data, notes=(*data.notes, *leaks)))
    return of_folds(found) if spec.folds and not is_whole else found[0]


def _data_set(
    spec: DataSpec,
    source: Source,
    parts: Sequence[Source],
    splits: Sequence[Split],
    transform: FittedTransform,
    fingerprint: str,
) -> DataSet:
    return DataSet(
        task=_task(source),
        train=splits[0],
        validation=splits[1],
        test=splits[2] if len(splits) > 2 else None,
        outputs=len(source.classes) or math.prod(splits[0].y.shape[1:]),
        fingerprint=fingerprint,
        classes=source.classes,
        notes=(*source.notes, *_lacking_classes(parts)),
        transform=transform,
        features=Features.of(spec.dataset, parts[0], transform.free_texts),
    )


def _shares_images(spec: DataSpec, source: Source) -> bool:
    """Whether folds can share one copy of the examples: images whose targets no fold scales."""
    is_plain = bool(source.classes) and source.weight is None and not spec.maps_features
    return is_plain and spec.text == Text() and source.x.dtype == np.uint8


def _image_folds(spec: DataSpec, source: Source, found: _FoldRows) -> DataSet:
    """Folds of images, which share one copy of them; each scales them by numbers of its own."""
    rows = np.sort(found.rows)
    whole = [source.take(rows), *found.test]
    x = [part.x for part in whole]
    if spec.image_size is not None:
        size = smaller(source.x.shape[1:], spec.image_size)
        x = [resized(pixels, size) for pixels in x]
    shared = {"x": np.concatenate(x), "y": np.concatenate([part.y for part in whole])}
    folds = []
    for fold in found.folds:
        parts = [source.take(fold.train), source.take(fold.validation), *found.test]
        transform = fit_transform(
            parts[0],
            spec.normalize,
            spec.range,
            spec.clip,
            columns=spec.columns,
            image_size=spec.image_size,
        )
        scale = scale_of(transform)
        places = [np.searchsorted(rows, own).astype(np.int32) for own in fold]
        splits = [Split(shared, own, scale) for own in places]
        splits += [Split(shared, slice(len(rows), len(shared["y"])), scale) for _ in found.test]
        fingerprint = fingerprint_of(parts, _scaling(spec, spec.text, ()), with_texts=False)
        folds.append(_data_set(spec, source, parts, splits, transform, fingerprint))
    return of_folds(folds)


def _sizes(spec: DataSpec, source: Source) -> SplitSizes:
    return split_sizes(
        spec,
        len(source),
        has_own_test=source.test is not None,
        has_own_validation=source.validation is not None,
        classes=0 if source.labels is None else len(source.classes),
    )


class _FoldRows(NamedTuple):
    """The rows of each fold, those of all folds, and the test examples of all if there are any."""

    folds: tuple[Fold, ...]
    rows: np.ndarray
    test: Sequence[Source]


def fold_rows(spec: DataSpec, source: Source) -> _FoldRows:
    assert spec.folds is not None
    if source.validation is not None:
        raise DataError(
            "data.folds: this data set has rows that validate of its own: remove folds, or the "
            "rows that validate."
        )
    by = _split_by(spec, source)
    if spec.split is None:
        _check_classes(source)
    sizes, seed = _sizes(spec, source), spec.split_seed
    if isinstance(spec.split, TimeSplit) and by is not None:
        gap = gap_of(spec.split, by)
        rows, test = before_test(sizes, by, gap)
        folds = time_folds(rows, by[rows], spec.folds, gap)
    elif isinstance(spec.split, GroupSplit) and by is not None:
        rows, _, test = split_groups(sizes, by, seed)
        folds = group_folds(rows, by[rows], spec.folds, seed)
    else:
        labels = source.labels
        rows, _, test = split_rows(sizes, labels, seed)
        own = None if labels is None else labels[rows]
        folds = random_folds(rows, own, spec.folds, seed)
    tests = [source.test or source.take(test)] if source.test or len(test) else []
    return _FoldRows(folds, rows, tests)


def _fold_parts(source: Source, found: _FoldRows, *, is_whole: bool) -> list[list[Source]]:
    """The examples of each fold: training, validation and, if there is one, the test of all.

    With `is_whole`, those of a single fold that trains on the rows of all.
    """
    folds, rows, test = found
    if is_whole:
        train = source.take(np.sort(rows))
        return [[train, *(test or [train]), *test]]
    return [[source.take(fold.train), source.take(fold.validation), *test] for fold in folds]


def _split_by(spec: DataSpec, source: Source) -> np.ndarray | None:
    if spec.split is not None and source.split_by is None:
        raise DataError("data.split: this data set has no column that it could name: remove it.")
    return source.split_by


def parted(spec: DataSpec, source: Source) -> list[Source]:
    """The examples of each split: training, validation and, if there is one, test."""
    by = _split_by(spec, source)
    if isinstance(spec.split, ColumnSplit) and by is not None:
        source = _with_own_splits(spec, source, by)
    if spec.split is None or isinstance(spec.split, ColumnSplit):
        _check_classes(source)
    sizes = _sizes(spec, source)
    if isinstance(spec.split, GroupSplit) and by is not None:
        rows = split_groups(sizes, by, spec.split_seed)
    elif isinstance(spec.split, TimeSplit) and by is not None:
        rows = split_times(sizes, by, gap_of(spec.split, by))
    else:
        rows = split_rows(sizes, source.labels, spec.split_seed)
    parts = [source.take(rows.train), source.validation or source.take(rows.validation)]
    if source.test is not None:
        parts.append(source.test)
    elif sizes.test:
        parts.append(source.take(rows.test))
    return parts


def _with_own_splits(spec: DataSpec, source: Source, places: np.ndarray) -> Source:
    """The rows that train, with those that the column of `data.split` names for the other splits.

    Raises:
        DataError: if no row trains.
    """
    rows = [np.flatnonzero(places == place) for place in range(len(SPLITS))]
    if not len(rows[0]):
        raise DataError("data.split.column: no row is for train: correct the column.")
    train, validation, test = (source.take(some) if len(some) else None for some in rows)
    assert train is not None
    return replace(train, validation=validation, test=test if spec.test != 0 else None)


def _lacking_classes(parts: Sequence[Source]) -> list[str]:
    """That there are classes to judge which no row trains."""
    names = parts[0].classes
    trained = np.bincount(parts[0].y.ravel(), minlength=len(names)) if names else np.zeros(0)
    lacking = [shown(name) for name, rows in zip(names, trained, strict=True) if not rows]
    if not lacking:
        return []
    named = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3:,} more" if lacking[3:] else "")
    which = f"class {named} has" if len(lacking) == 1 else f"classes {named} have"
    return [f"{which} no row to train on, so no model learns to predict it: check data.split."]


def _encoded(
    folds: Sequence[Sequence[Source]], fits: Sequence[FittedTransform]
) -> list[list[Split]]:
    """The splits of each fold (or of the only one), which share their arrays.

    The rows of a split follow those of the split before: the training and validation rows of each
    fold, then its test rows. So each split is a slice, whose arrays are views. The features are
    made piece by piece, so that beside them no copy of a whole split is in memory.
    """
    order = [(fold, place) for fold in range(len(folds)) for place in (0, 1)]
    order += [(fold, 2) for fold, parts in enumerate(folds) if len(parts) > 2]
    weights = [_scaled_weights(parts) for parts in folds]
    firsts = [fit.apply(parts[0].take(slice(0, 1))) for parts, fit in zip(folds, fits, strict=True)]
    shapes = [first.shape[1:] for first in firsts]
    ends = [*accumulate((len(folds[fold][place]) for fold, place in order), initial=0)]
    # A fold may lack a text, and with it a column: then zeros fill its last columns.
    x = mapped.empty((ends[-1], *max(shapes)), firsts[0].dtype)
    if len({*shapes}) > 1:
        x[:] = 0
    for (fold, place), start in zip(order, ends, strict=False):
        _encode(x[start:], folds[fold][place], fits[fold], trains=place == 0)
    y = [fits[fold].apply_target(folds[fold][place]) for fold, place in order]
    arrays = {"x": x, "y": np.concatenate(y)}
    if weights[0]:
        arrays["weight"] = np.concatenate([weights[fold][place] for fold, place in order])
    splits: list[list[Split]] = [[] for _ in folds]
    for (fold, _), (start, end) in zip(order, pairwise(ends), strict=True):
        splits[fold].append(Split(arrays, slice(start, end)))
    return splits


def _encode(x: np.ndarray, part: Source, transform: FittedTransform, *, trains: bool) -> None:
    """Write the features of a split into the first rows of `x`."""
    own = transform.parts_of(len(part)) if trains else None
    for start in range(0, len(part), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        features = transform.apply(part.take(rows), None if own is None else own[rows])
        x[start : start + len(features), ..., : features.shape[-1]] = features


def _task(source: Source) -> Task:
    if source.classes:
        return "classification" if source.y.ndim == 1 else "segmentation"
    if source.is_multilabel:
        return "multilabel"
    return "counts" if source.is_count else "regression"


def read_source(spec: DataSpec, folder: Path, home: Path | None) -> Source:
    """The examples that `spec` names, as they are.

    Raises:
        DataError: if the name is unknown, or files are missing or broken.
    """
    if not isinstance(spec.dataset, str):
        where = find_own(spec.dataset, folder, home)[1]
        own = {name: str(path) for name, path in split_files(spec, folder, home).items()}
        if own:  # as absolute paths, which readers need not look for
            spec = spec.model_copy(update={"dataset": spec.dataset.model_copy(update=own)})
        return cast("Source", function("reader", key_of(spec.dataset))(where, spec))
    name = spec.dataset
    if name not in DATASETS:
        raise DataError(f"data.dataset: {unknown_name(name, DATASETS)}")
    read = function("dataset", name)
    if not DATASETS[name].files:
        return cast("Source", read())
    cure = f"run `hpo data get {name}`, or set HPO_DATA to the folder that holds {name}/."
    if home is None:
        raise DataError(f"data.dataset: {name}: is not on this machine: {cure}")
    return cast("Source", read(home / name, with_test=spec.test != 0, cure=cure))


def _is_ours(spec: DataSpec) -> bool:
    """Whether the reader is one of hpo's: the cache cannot know when another one has changed."""
    if isinstance(spec.dataset, str):
        return True
    return READERS[key_of(spec.dataset)].function.startswith("hpo.")


def _check_columns(spec: DataSpec, source: Source) -> None:
    if spec.columns.by_name and not (source.names or source.text_names):
        raise DataError(
            "data.columns.by_name: the columns of this data set have no names: write what holds "
            "for all columns, or remove it."
        )
    if spec.maps_features and (series_of(spec) is not None or source.y.ndim > 2):
        raise DataError("data: whiten and reduce are not for series or segmentations: remove them.")
    if spec.image_size is not None and (source.x.ndim != 4 or source.y.ndim > 2):
        what = "examples are no images" if source.x.ndim != 4 else "each pixel has a class"
        raise DataError(f"data.image_size: is for images with one answer, and {what}: remove it.")
    if spec.columns != Columns() and source.x.ndim > 2:
        raise DataError("data.columns: images have no columns: remove it.")
    if source.is_text and (spec.columns, spec.text) != (Columns(), Text()):
        key = "text" if spec.columns == Columns() else "columns"
        raise DataError(f"data.{key}: a text of its own has no columns: remove it.")


def _check_classes(source: Source) -> None:
    if source.labels is None or source.validation is not None:
        return
    single = np.flatnonzero(np.bincount(source.labels) == 1)
    if len(single):
        raise DataError(
            f"{source.target}: class {shown(source.classes[single[0]])} has a single row, and both "
            "training and validation need one. Remove it, merge it with another class, or set "
            "data.dataset.task to regression if the target is a quantity."
        )


def _scaled_weights(parts: Sequence[Source]) -> list[np.ndarray]:
    """The weights of each split, divided by the mean weight of the training split.

    So the loss keeps its size, and the learning rate its meaning, in any unit of the column.
    The list is empty if the source has no weights.

    Raises:
        DataError: if all weights of a split are 0, or float32 cannot hold them once divided.
    """
    if parts[0].weight is None:
        return []
    mean, scaled = parts[0].weight.mean(), []
    for name, part in zip(SPLITS, parts, strict=False):
        assert part.weight is not None
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            weight = (part.weight / mean).astype(np.float32)
        if not part.weight.any():
            raise DataError(
                f"data.dataset.weight: every weight in the {name} split is 0: correct the "
                "column, or set another data.split_seed."
            )
        if not (np.isfinite(weight).all() and weight.any()):
            raise DataError(
                f"data.dataset.weight: the weights in the {name} split are too far from the "
                "mean weight of the training split for float32: correct the column."
            )
        scaled.append(weight)
    return scaled


def _scaling(spec: DataSpec, text: Text, of_files: Sequence[np.ndarray]) -> str | tuple[Any, ...]:
    """How a spec makes features, for the fingerprint, which must stay that of release 0.1.0.

    `text` has the stop words themselves, and `of_files` what its other files say.
    """
    ranges: tuple[Any, ...] = (
        () if spec.normalize != "minmax" or spec.range == UNIT_RANGE else (spec.range,)
    )
    ranges = ranges if spec.clip is None else (*ranges, f"clip {spec.clip}")
    ranges = (*ranges, spec.epsilon, f"{spec.reduce!r}") if spec.maps_features else ranges
    ranges = (*ranges, spec.reduce.features) if spec.reduce.name == "select" else ranges
    columns = spec.columns.model_dump_json(exclude_defaults=True)
    asked = () if spec.columns == Columns() else (columns,)
    asked = asked if spec.target_range is None else (*asked, str(spec.target_range))
    asked = asked if spec.image_size is None else (*asked, f"image_size {spec.image_size}")
    if spec.text != Text():
        hashes = (hashlib.sha256(array.tobytes()).hexdigest() for array in of_files)
        asked = (*asked, text.model_dump_json(exclude_defaults=True), *hashes)
    if (series := series_of(spec)) is not None:
        asked = (*asked, series.window, series.horizon)
    return (spec.normalize, *ranges, *asked) if ranges or asked else spec.normalize
