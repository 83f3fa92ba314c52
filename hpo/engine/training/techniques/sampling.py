"""The rows of an epoch, drawn on the host: `sampling` of a spec.

Each function gives rows as places in the training split, all of them in one order, which is then
cut into batches. So any batch size, and any part of a batch, reads the same rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hpo.data.dataset import DataSet
from hpo.engine.training.random_streams import draws_rng, extra_rng, part_rng, row_order
from hpo.errors import HpoError
from hpo.spec.experiment import Training
from hpo.spec.sections.techniques.sampling import Sampling

# This share of the draws by importance is uniform, so that no weight exceeds its inverse.
_UNIFORM = 0.1


class Drawn(NamedTuple):
    """The places of the rows that an epoch reads, in their order; extra rows are after the others.

    `weight` has a factor for each training row; None where all rows count alike.
    """

    rows: np.ndarray
    weight: np.ndarray | None = None


def epoch_rows(
    training: Training,
    epoch: int,
    rows: int,
    y: np.ndarray | None,
    losses: np.ndarray | None = None,
    extra: int = 0,
) -> Drawn:
    """The rows that an epoch of a trial reads.

    `y` are the classes of the training rows; None without classes. `losses` are those of the rows
    after the epoch before; all 0 before the first. `extra` is the number of extra rows.
    """
    drawn, share = _training_rows(training, epoch, rows, y, losses), training.sampling.extra_share
    if not (share and extra):
        return drawn
    others = rows + np.arange(extra)
    rng = extra_rng(training.train.seed, epoch)
    return drawn._replace(rows=with_extra_rows(rng, drawn.rows, others, share))


def with_extra_rows(
    rng: np.random.Generator, rows: np.ndarray, extra: np.ndarray, share: float
) -> np.ndarray:
    """As many rows, of which every stretch has this share of extra ones, to within one row.

    Extra rows come equally often, in random order. The others keep their order, and the last ones
    of an epoch are left out.
    """
    counts = np.floor(share * np.arange(len(rows) + 1) + 1e-9).astype(np.int64)
    is_extra = np.diff(counts) > 0
    found = np.empty_like(rows)
    found[is_extra] = _cycled(rng, extra, counts[-1])
    found[~is_extra] = rows[: len(rows) - counts[-1]]
    return found


def _training_rows(
    training: Training, epoch: int, rows: int, y: np.ndarray | None, losses: np.ndarray | None
) -> Drawn:
    """The rows of an epoch without extra ones."""
    seed, sampling = training.train.seed, training.sampling
    order = row_order(seed, epoch, rows)
    if sampling.share < 1:
        order = order[part_of(part_rng(seed), sampling.share, rows, y)[order]]
    if sampling.name == "uniform":
        return Drawn(order)
    rng, part = draws_rng(seed, epoch), np.sort(order)
    if sampling.keeps_losses:
        assert losses is not None, "a lane keeps them"
        if sampling.name == "curriculum":
            share = pace(sampling, epoch, training.train.epochs)
            return Drawn(easiest(rng, losses, share, part))
        chances = probabilities(losses[part], sampling.temperature)
        weight = np.ones(rows, np.float32)
        weight[part] = 1 / (len(part) * chances)
        return Drawn(part[rng.choice(len(part), len(part), p=chances)], weight)
    assert y is not None, "check_sampling refuses other data"
    draw = stratified if sampling.name == "stratified" else balanced
    return Drawn(draw(rng, y, part))


def check_sampling(training: Training, data: DataSet, cure: str = "write a larger share") -> None:
    """Refuse a share of the rows that fills no batch.

    Raises:
        HpoError: with what to write instead; `cure` makes the share larger.
    """
    rows = part_rows(training.sampling.share, data.train_rows)
    if training.data.step_rows > rows:
        raise HpoError(
            f"sampling.share: {training.sampling.share:g} of {data.train_rows} training rows are "
            f"{rows}, fewer than a batch of {training.data.step_rows}: {cure}, or write a smaller "
            "data.batch_size."
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


def probabilities(losses: np.ndarray, temperature: float) -> np.ndarray:
    """The probability of each row, float64, by the power 1 / temperature of its loss.

    Source: Katharopoulos and Fleuret 2018, "Not all samples are created equal", Section 3.
    """
    sizes = np.maximum(np.nan_to_num(losses.astype(np.float64)), 0)
    largest = sizes.max()
    if largest <= 0:  # no loss is known before the first epoch
        return np.full(len(losses), 1 / len(losses))
    powers = (sizes / largest) ** (1 / temperature)
    found: np.ndarray = (1 - _UNIFORM) * powers / powers.sum() + _UNIFORM / len(losses)
    return found / found.sum()


def easiest(
    rng: np.random.Generator, losses: np.ndarray, share: float, rows: np.ndarray
) -> np.ndarray:
    """As many rows, all from the share of them that has the smallest losses.

    Source: Hacohen and Weinshall 2019, "On the power of curriculum learning", Section 2.
    """
    count = max(1, round(share * len(rows)))
    order = np.argsort(losses[rows], kind="stable")
    return _cycled(rng, rows[order[:count]], len(rows))


def pace(sampling: Sampling, epoch: int, epochs: int) -> float:
    """The share of rows that a curriculum reads in an epoch; all in the first, without losses."""
    if epoch == 0:
        return 1.0
    progress = epoch / (sampling.until * epochs)
    return min(1.0, sampling.start + (1 - sampling.start) * progress)


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
