"""Permutation importance: how much worse a model judges rows whose column is shuffled.

Source: Breiman 2001, "Random Forests" (Machine Learning 45), Section 10, as scikit-learn has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hpo.data.dataset import Split
from hpo.data.source import Source
from hpo.data.transforms.features import Features
from hpo.engine.training.ensemble import metrics_of
from hpo.registry import METRICS
from hpo.spec.marks import with_leaves
from hpo.trained.ensembles.ensemble import Answering

_SHARE = 0.95  # of the intervals


class Columns(NamedTuple):
    """A column of a table: its places among the numbers and among the texts of a source."""

    numbers: list[int]
    texts: list[int]


class Importance(NamedTuple):
    """By how much a column that is shuffled makes the metric worse: the mean of the shuffles.

    `low` and `high` are the ends of the 95 % interval of that mean, by Student's t.
    """

    column: str
    mean: float
    low: float
    high: float


def columns_of(features: Features) -> dict[str, Columns]:
    """The columns of examples by their names; those of arrays `[N, F]` are `x[0]`, `x[1]`, ...

    Images and other arrays have none. The parts of a date are one column.
    """
    if not features.is_table:
        sizes = features.shape if len(features.shape) == 1 else (0,)
        return {f"x[{place}]": Columns([place], []) for place in range(sizes[0])}
    found = {name: Columns([], []) for name in features.columns}
    for place, number in enumerate(features.numbers):
        found[number.name].numbers.append(place)
    for place, text in enumerate(features.texts):
        found[text.name].texts.append(place)
    return found


def with_column(source: Source, column: Columns, other: Source, rows: np.ndarray) -> Source:
    """The examples with one column as these rows of another source have it."""
    x, categories = source.x, source.categories
    if column.numbers:
        x = x.copy()
        x[:, column.numbers] = other.x[rows][:, column.numbers]
    if column.texts and categories is not None and other.categories is not None:
        categories = categories.copy()
        categories[:, column.texts] = other.categories[rows][:, column.texts]
    return replace(source, x=x, categories=categories)


def loss_by(metric: str, model: Answering, split: Split) -> Callable[[np.ndarray], float]:
    """The function from predictions for the rows of a split to a metric, of which less is better.

    One of which more is better has the other sign.
    """
    names = tuple(name for name in model.training.train.metrics if name == metric)
    alone = with_leaves(model.training, {"train.metrics": names})
    sign = 1 if METRICS[metric].direction == "minimize" else -1
    return lambda found: (
        sign * metrics_of(found, alone, model.data, split, model.thresholds)[metric]
    )


def permutation_importances(
    names: Sequence[str],
    count: int,
    loss_of: Callable[[str | None, np.ndarray], float],
    repeats: int,
    seed: int,
    watch: Callable[[int], None] = lambda _: None,
) -> list[Importance]:
    """The importance of each column, the most important one first.

    `loss_of` is the loss with a column, or with none, as `count` examples in another order have it.
    The shuffles are those of scikit-learn's `permutation_importance` with this seed. `watch` gets
    the number of columns that are done. A single example has no other order, and no importance.
    """
    if count < 2:
        return []
    usual = loss_of(None, np.arange(count))
    # Every column is shuffled alike, as in scikit-learn.
    own = np.random.RandomState(seed).randint(np.iinfo(np.int32).max + 1)
    found = []
    for done, name in enumerate(names, start=1):
        rng, shuffle = np.random.RandomState(own), np.arange(count)
        order, rises = np.arange(count), []
        for _ in range(repeats):
            rng.shuffle(shuffle)
            order = order[shuffle]
            rises.append(loss_of(name, order) - usual)
        found.append(Importance(name, *interval(rises)))
        watch(done)
    return sorted(found, key=lambda one: -one.mean)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean of some values, and the ends of its 95 % interval by Student's t."""
    from scipy.stats import t  # takes half a second to import

    mean, count = float(np.mean(values)), len(values)
    reach = float(t.ppf((1 + _SHARE) / 2, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return mean, mean - reach, mean + reach
