"""What forecasts of a series look at: its variables and their steps, and the worst windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hpo.data.dataset import Split
from hpo.data.source import Source
from hpo.engine.devices import available_bytes
from hpo.engine.training.ensemble import metrics_of
from hpo.errors import DataError
from hpo.spec.sections.data import TableFile
from hpo.spec.sections.split import TimeSplit
from hpo.trained.ensembles.ensemble import Answering, block_rows, shares_of
from hpo.trained.explain.attribution import Attribution, member_parts, unit_of
from hpo.trained.explain.findings import Explanation, How, Window, chosen_metric, some_places
from hpo.trained.explain.importance import (
    Columns,
    columns_of,
    loss_by,
    permutation_importances,
    with_column,
)
from hpo.trained.explain.judging import worst_rows
from hpo.trained.kinds.series import values_of_rows
from hpo.trained.model import Member
from hpo.trained.predict import NewData, rows_at_once

# It is in the unit of the target, as a loss of standardised values is not.
USUAL_METRIC = "rmse"


def explained_forecasts(
    model: Answering,
    series: TableFile,
    new: NewData,
    how: How,
    watch: Callable[[int], None] = lambda _: None,
) -> Explanation:
    """Explain forecasts by the windows of a series whose values ahead are known.

    Raises:
        HpoError: for a metric that the model does not have, or a series without such a window.
    """
    source, own = new.source, _Series(model, series, new.source)
    starts, ends = np.arange(own.count), np.arange(own.count) + own.window - 1
    found, split = own.predictions(starts), model.judged(source)
    metrics = metrics_of(found, model.training, model.data, split)
    metric = chosen_metric(how, USUAL_METRIC, metrics)
    truth = source.y[ends[:, None] + 1 + np.arange(series.horizon)]
    errors = np.abs(found - truth).mean(1)
    worst = apart(worst_rows(errors, own.count).tolist(), series.horizon, how.worst)
    times = _times(model, new)
    windows = [
        Window(
            row=int(ends[place]) + 1,
            time=times[place],
            error=float(errors[place]),
            truth=tuple(truth[place].tolist()),
            forecast=tuple(found[place].tolist()),
        )
        for place in worst
    ]
    some = some_places(own.count, how)
    loss = loss_by(metric, model, Split({"y": split.y[some]}))

    def loss_of(name: str | None, order: np.ndarray) -> float:
        return loss(own.predictions(some, name, some[order]))

    names, count = [*own.variables], len(some)
    importance = permutation_importances(names, count, loss_of, how.shuffles, how.seed, watch)
    return Explanation(
        own.count,
        metrics,
        metric,
        tuple(importance),
        (),
        attribution=own.parts(worst, some) if windows and count > 1 else None,
        windows=tuple(windows),
        noun="window",
    )


def apart(ranked: Sequence[int], horizon: int, count: int) -> list[int]:
    """The first places of a ranking, without those whose forecasts overlap one before them.

    Neighbours of a bad window forecast almost the same values, and would fill the list.
    """
    kept: list[int] = []
    near: set[int] = set()  # the places whose forecasts overlap those that are kept
    for place in ranked:
        if len(kept) == count:
            break
        if place not in near:
            kept.append(place)
            near.update(range(place - horizon + 1, place + horizon))
    return kept


class _Series:
    """The windows of a series that all of their values follow, as a model takes them.

    `variables` are the columns of the table by name; that of the target, whose past is an input,
    is None.

    Raises:
        DataError: if there is no such window.
    """

    def __init__(self, model: Answering, series: TableFile, source: Source) -> None:
        assert series.window is not None
        self.window = series.window
        self.count = len(source) - self.window - series.horizon + 1
        if self.count < 1:
            raise DataError(
                f"{source.target}: {len(source):,} rows are fewer than a window of {self.window} "
                f"and a horizon of {series.horizon}: give more rows."
            )
        features = model.description.features
        columns: Mapping[str, Columns] = columns_of(features) if features.is_table else {}
        (target,) = series.targets
        self.variables: dict[str, Columns | None] = {**columns, target: None}
        self._model, self._source = model, source

    def predictions(
        self, starts: np.ndarray, name: str | None = None, others: np.ndarray | None = None
    ) -> np.ndarray:
        """The forecasts of windows, float64 `[N, horizon]`, in the unit of the target.

        With a `name`, this variable is that of `others`, windows that begin at these places.
        """
        model, block = self._model, block_rows(self._model)
        size = max(block, rows_at_once(model, available_bytes()) // block * block)
        found = []
        for first in range(0, len(starts), size):
            some = slice(first, first + size)
            own = self._rows(starts[some])
            if name is not None and others is not None:
                own = self._with_variable(own, name, self._places(others[some]))
            found.append(model.mean_of([self._windows(member, own) for member in model.members]))
        return np.concatenate(found)

    def parts(self, starts: Sequence[int], usual: np.ndarray) -> Attribution:
        """The parts of steps and variables in the mean value of each forecast.

        They start from the mean of the `usual` windows.
        """
        parts: Any = 0.0
        rises: Any = 0.0
        for model, share in shares_of(self._model):
            for member in model.members:
                x = self._windows(member, self._rows(np.array(starts)))
                values = values_of_rows(self._source, member.data.transform)
                # Step by step, because all windows together take `window` times as much memory.
                steps = range(self.window)
                mean = np.stack([values[usual + step].mean(0) for step in steps])
                base = np.broadcast_to(mean, x.shape)
                alone = np.zeros(len(x), np.int32)  # no classes
                own, rise = member_parts(model, member, x, base, alone)
                weight = share / len(model.members) * unit_of(member)
                parts, rises = parts + weight * (own @ self._owners(member)), rises + weight * rise
        return Attribution(tuple(self.variables), np.asarray(parts), np.asarray(rises))

    def _places(self, starts: np.ndarray) -> np.ndarray:
        """The rows of windows, one after another, `[N * window]`."""
        return (starts[:, None] + np.arange(self.window)).ravel()

    def _rows(self, starts: np.ndarray) -> Source:
        return self._source.take(self._places(starts))

    def _with_variable(self, rows: Source, name: str, others: np.ndarray) -> Source:
        """Rows in which a variable is that of other rows of the series."""
        column = self.variables[name]
        if column is None:
            return replace(rows, y=self._source.y[others])
        return with_column(rows, column, self._source, others)

    def _windows(self, member: Member, rows: Source) -> np.ndarray:
        """The rows of windows as a member takes them, float32 `[N, window, F]`."""
        values = values_of_rows(rows, member.data.transform)
        return values.reshape(-1, self.window, values.shape[1])

    def _owners(self, member: Member) -> np.ndarray:
        """1 where a feature is of a variable, `[F, C]`; no feature of a series is of several."""
        order = np.roll(np.arange(len(self._source)), 1)
        fit = member.data.transform
        x = values_of_rows(self._source, fit)

        def is_own(name: str) -> np.ndarray:
            other = values_of_rows(self._with_variable(self._source, name, order), fit)
            found: np.ndarray = (other != x).any(0)
            return found

        return np.stack([is_own(name) for name in self.variables], axis=1).astype(np.float64)


def _times(model: Answering, new: NewData) -> list[str]:
    """The time of the last row of each window, after which its forecast begins."""
    split = model.training.data.split
    assert isinstance(split, TimeSplit)
    if split.time in new.beside:
        return [str(one) for one in new.beside[split.time]]
    assert model.series is not None
    assert model.series.window is not None
    assert new.source.split_by is not None
    times = new.source.split_by[model.series.window - 1 :]
    if times.dtype.kind != "M":
        return [f"{one:g}" for one in times]
    return [str(one).replace("T", " ") for one in np.datetime_as_string(times, unit="auto")]
