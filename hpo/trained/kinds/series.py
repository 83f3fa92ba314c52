"""Forecasts for new rows of a series: each window of the past, and the values that follow it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hpo.data.new.table import new_examples, with_targets
from hpo.data.readers.tables.examples import Table
from hpo.data.readers.tables.split_column import read_split_column
from hpo.data.sequences.series import in_time_order
from hpo.data.sequences.windows import Part
from hpo.data.source import Source
from hpo.data.transforms.features import Features
from hpo.data.transforms.transform import FittedTransform
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec, TableFile
from hpo.spec.sections.split import TimeSplit
from hpo.spec.words import shown


def new_series(table: Table, spec: DataSpec, features: Features) -> tuple[Source, np.ndarray]:
    """The rows of a new series, the earliest first, and the cells of its column of time.

    The target is among them, because its past is an input.

    Raises:
        DataError: for a column that is missing, a cell without a value, or too few rows.
    """
    series, frame = spec.dataset, table.frame
    assert isinstance(series, TableFile)
    assert isinstance(spec.split, TimeSplit)
    assert series.window is not None
    for name in (spec.split.time, *series.targets):
        if name not in frame:
            raise DataError(
                f"{table.path}: has no column {shown(name)}, and a forecast needs the times and "
                "the past values of the target: add it."
            )
    own = replace(features, targets=series.targets)
    source = with_targets(new_examples(table, features), table, own, (), "regression")
    times = read_split_column(spec.split, frame[spec.split.time], table.rows)
    here = series.model_copy(update={series.key: str(table.path)})  # for messages
    ordered = in_time_order(replace(source, split_by=times), here)
    order = np.argsort(times, kind="stable")
    if len(times) < series.window:
        raise DataError(
            f"{table.path}: has {len(times):,} rows, and a window has {series.window}: give as "
            "many rows of the past."
        )
    cells = frame[spec.split.time].iloc[order]
    is_number = cells.dtype.kind in "iuf"
    return ordered, cells.to_numpy() if is_number else cells.astype(str).to_numpy(object)


def pasts(source: Source, transform: FittedTransform, series: TableFile) -> np.ndarray:
    """The window that ends at each row, float32 `[N, window, columns]`; it takes no memory."""
    assert series.window is not None
    count = len(source) - series.window + 1
    return Part("x", 0, series.window).view(values_of_rows(source, transform), 0, 1, count)


def judged(
    source: Source, transform: FittedTransform, series: TableFile
) -> tuple[np.ndarray, np.ndarray]:
    """The windows that all of their values follow, and these values, standardised.

    Raises:
        DataError: if there is none.
    """
    assert series.window is not None
    values, horizon = values_of_rows(source, transform), series.horizon
    count = len(source) - series.window - horizon + 1
    if count < 1:
        raise DataError(
            f"{source.target}: {len(source):,} rows are fewer than a window of {series.window} "
            f"and a horizon of {horizon}: give more rows, or leave out --score."
        )
    y = Part("y", series.window, None if horizon == 1 else horizon, values.shape[1] - 1)
    return Part("x", 0, series.window).view(values, 0, 1, count), y.view(values, 0, 1, count)


def forecast_names(series: TableFile) -> tuple[str, ...]:
    """The name of each value of a forecast: the target, and how many rows ahead it is."""
    (target,) = series.targets
    ahead = range(1, series.horizon + 1)
    return (target,) if series.horizon == 1 else tuple(f"{target}_{step}" for step in ahead)


def values_of_rows(source: Source, transform: FittedTransform) -> np.ndarray:
    """The features of each row, and after them its standardised target, float32 `[N, F]`."""
    x, y = transform.apply(source), transform.apply_target(source)
    return np.concatenate([x, y[:, None]], axis=1)
