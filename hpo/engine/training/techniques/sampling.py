"""The rows of an epoch, drawn on the host: `sampling` of a spec.

Each function gives rows as places in the training split, all of them in one order, which is then
cut into batches. So any batch size, and any part of a batch, reads the same rows.
"""

from __future__ import annotations

import math

import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.training.random_streams import draws_rng, part_rng, row_order
from hpo.errors import HpoError
from hpo.spec.experiment import Training
from hpo.spec.sections.techniques.sampling import sampling_mistakes


def epoch_rows(training: Training, epoch: int, rows: int, y: np.ndarray | None) -> np.ndarray:
    """The places of the rows that an epoch of a trial reads, in their order.

    `y` are the classes of the training rows; None without classes.
    """
    seed, sampling = training.train.seed, training.sampling
    order = row_order(seed, epoch, rows)
    if sampling.share < 1:
        order = order[part_of(part_rng(seed), sampling.share, rows, y)[order]]
    if sampling.name == "uniform":
        return order
    assert y is not None, "check_sampling refuses other data"
    draw = stratified if sampling.name == "stratified" else balanced
    return draw(draws_rng(seed, epoch), y, np.sort(order))


def check_sampling(training: Training, data: DataSet) -> None:
    """Refuse a share of the rows that fills no batch, and classes where there are none.

    Raises:
        HpoError: with what to write instead.
    """
    for text in sampling_mistakes(training.sampling, (data.task,)):
        raise HpoError(f"sampling.name: {text}.")
    rows = part_rows(training.sampling.share, data.train_rows)
    if training.data.step_rows > rows:
        raise HpoError(
            f"sampling.share: {training.sampling.share:g} of {data.train_rows} training rows are "
            f"{rows}, fewer than a batch of {training.data.step_rows}: write a larger share, or a "
            "smaller data.batch_size."
        )


def part_rows(share: float, rows: int) -> int:
    """The number of rows of a share of the training split; at least one."""
    return max(1, round(share * rows))


def part_of(rng: np.random.Generator, share: float, rows: int, y: np.ndarray | None) -> np.ndarray:
    """Whether each row belongs to a share of them: nested, and equal classes in equal shares.

    `y` are the classes of the rows; None without classes.
    """
    order = rng.permutation(rows) if y is None else _in_shares(rng, y)
    chosen = np.zeros(rows, bool)
    chosen[order[: part_rows(share, rows)]] = True
    return chosen


def stratified(rng: np.random.Generator, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows, each once, so that every stretch of them has the classes in their shares."""
    return rows[_in_shares(rng, y[rows])]


def balanced(rng: np.random.Generator, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """As many rows, so that every stretch of them has all classes equally often.

    Rows of a small class come several times, and of a large one not all.
    """
    classes = np.unique(y[rows])
    each = math.ceil(len(rows) / len(classes))
    drawn = np.concatenate([_cycled(rng, rows[y[rows] == one], each) for one in classes])
    return drawn[_in_shares(rng, y[drawn])][: len(rows)]


def _in_shares(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """An order in which each class is spread evenly, at random within it."""
    order = rng.permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    counts = np.bincount(y)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    offsets = rng.random(len(counts))[y[order]]
    places = (np.arange(len(y)) - first + offsets) / counts[y[order]]
    return order[np.argsort(places, kind="stable")]


def _cycled(rng: np.random.Generator, rows: np.ndarray, count: int) -> np.ndarray:
    """`count` of the rows: all of them in random order, as often as it takes."""
    rounds = math.ceil(count / len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:count]
