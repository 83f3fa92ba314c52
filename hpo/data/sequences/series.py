"""A series as a data set: rows are a window of the past and the values to forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np

from hpo.data.dataset import SPLITS, Split
from hpo.data.sequences.windows import Part, Windows
from hpo.data.source import Source
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec, TableFile
from hpo.spec.words import shown


def series_of(spec: DataSpec) -> TableFile | None:
    """The table of a spec, if its rows are the times of a series."""
    dataset = spec.dataset
    return dataset if isinstance(dataset, TableFile) and dataset.window is not None else None


def in_time_order(source: Source, dataset: TableFile) -> Source:
    """The rows of a series, the earliest first; a note says where its steps differ.

    Raises:
        DataError: if two rows have the same time.
    """
    assert source.split_by is not None
    order = np.argsort(source.split_by, kind="stable")
    times = source.split_by[order]
    steps = np.diff(times)
    zero = steps == np.zeros((), steps.dtype)
    if zero.any():
        raise DataError(
            f"{dataset.path}: data.dataset.time: {int(zero.sum()):,} rows of column "
            f"{shown(dataset.time)} have the time of another row (such as "
            f"{times[int(zero.argmax())]}), and a series has one row for each time. Make a "
            "file of each series, or columns of the others."
        )
    usual = np.sort(steps)[len(steps) // 2] if len(steps) else None
    others = int((steps != usual).sum())
    notes = source.notes
    if others:
        notes += (
            f"{dataset.path}: {others:,} of {len(steps):,} steps of column {shown(dataset.time)} "
            "are shorter or longer than the usual one, and windows count rows, not time: fill the "
            "gaps if that matters.",
        )
    return replace(source.take(order), notes=notes)


def windowed(folds: Sequence[Sequence[Split]], dataset: TableFile) -> list[list[Split]]:
    """The splits of each fold of a series (or of the only one), whose rows are windows.

    No window reaches into another split. The splits share the features and the standardised target
    of each time, split after split: the training and validation rows of each fold, then its test
    rows. The past of the target is an input beside the features.

    Raises:
        DataError: if a split is shorter than a window with its horizon.
    """
    window, horizon = dataset.window, dataset.horizon
    assert window is not None
    shared = folds[0][0].shared
    values = np.concatenate([shared["x"], shared["y"][:, None]], axis=1)
    column = values.shape[1] - 1
    starts: list[np.ndarray] = []
    order = sorted(
        (split.rows.start, fold, place)
        for fold, splits in enumerate(folds)
        for place, split in enumerate(splits)
        if isinstance(split.rows, slice)
    )
    for first, fold, place in order:
        length, name = len(folds[fold][place]), SPLITS[place]
        count = length - window - horizon + 1
        if count < 1:
            raise DataError(
                f"data.dataset.window: {window} rows and a horizon of {horizon} are more than the "
                f"{length:,} rows of the {name} split: make window, horizon or the other splits "
                "smaller."
            )
        starts.append(np.arange(first, first + count, dtype=np.int32))
    parts = (
        Part("x", 0, window),
        Part("y", window, None if horizon == 1 else horizon, column),
    )
    windows = Windows(values, np.concatenate(starts), parts)
    found: list[list[Split]] = [[] for _ in folds]
    ends = pairwise(accumulate(map(len, starts), initial=0))
    for (_, fold, _), own in zip(order, ends, strict=True):
        found[fold].append(Split(windows, slice(*own)))
    return found
