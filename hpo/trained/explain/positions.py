"""Answers at every position of an example, judged piece by piece: pixels of masks, tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpo.data.dataset import Split
from hpo.engine.training.targets.sums import metric_sums, metrics, targets_of
from hpo.trained.ensembles.ensemble import Answering
from hpo.trained.explain.judging import (
    Bin,
    calibration_bins,
    calibration_sums,
    error_of_sums,
    position_losses,
)


class Positions(NamedTuple):
    """The metrics of some examples, their mean losses `[N]`, and the calibration of positions."""

    metrics: Mapping[str, float]
    losses: np.ndarray
    calibration: tuple[Bin, ...]
    errors: Mapping[str, float]


def judged_positions(
    model: Answering,
    split: Split,
    features: Callable[[slice], np.ndarray],
    pieces: Iterable[tuple[slice, np.ndarray]],
    watch: Callable[[np.ndarray, np.ndarray], None],
) -> Positions:
    """Judge chances `[n, ..., K]`, which come for some of the rows after the other.

    `split` has the targets `y` of all rows and their `weight`. `features` gives those of some rows,
    which a loss of the user's own may read. Of each piece, `watch` gets the
    classes `[M]` and the chances `[M, K]` of all positions. No list of all chances is kept.
    """
    data, loss = model.data, model.training.loss
    kind = targets_of(data.task, data.outputs)
    sums, bins, losses = [], [], np.zeros(len(split))
    for rows, chances in pieces:
        targets = {name: array[rows] for name, array in split.arrays.items()}
        batch = {"x": features(rows), **targets}
        outputs = jnp.asarray(kind.outputs(chances, data))
        sums.append(jax.device_get(metric_sums(data.task, outputs, batch, loss)))
        y, flat = batch["y"].ravel(), chances.reshape(-1, chances.shape[-1])
        bins.append(calibration_sums(flat, y))
        losses[rows] = position_losses(flat, y).reshape(len(chances), -1).mean(1)
        watch(y, flat)
    of_bins = np.sum(bins, axis=0)
    error = error_of_sums(of_bins)
    return Positions(
        metrics(data, split, np.array(sums, np.float64).sum(0), loss),
        losses,
        tuple(calibration_bins(of_bins)),
        {"raw": error, "tempered": error},  # a temperature is for one class of a row
    )
