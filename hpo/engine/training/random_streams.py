"""Random streams: the order of rows in each epoch, initial weights, and the keys of trials.

All trials of a study see the rows in the same order at the same epoch (common random numbers). So
they are compared on the same data, wherever and whenever they train.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

# The purpose is part of a Philox key, so that data order and weights never share a stream.
_ORDER = 1
_WEIGHTS = 2
_PART = 3
_DRAWS = 4
_PRIVATE = 5
_CONNECTIONS = 6
_EXTRA = 7


@lru_cache(maxsize=64)
def batches(seed: int, epoch: int, rows: int, batch_size: int) -> np.ndarray:
    """Row indices of every step of an epoch (counted from 0), int32 `[steps, batch_size]`."""
    steps = rows // batch_size
    order = row_order(seed, epoch, rows)[: steps * batch_size]
    return order.astype(np.int32).reshape(steps, batch_size)


def row_order(seed: int, epoch: int, rows: int) -> np.ndarray:
    """All rows in the random order of an epoch."""
    return _generator(_ORDER, seed, epoch).permutation(rows)


def part_rng(seed: int) -> np.random.Generator:
    """The generator that chooses the rows of a share, the same in every epoch."""
    return _generator(_PART, seed, 0)


def draws_rng(seed: int, epoch: int) -> np.random.Generator:
    """The generator of an epoch whose rows are drawn by their classes."""
    return _generator(_DRAWS, seed, epoch)


def extra_rng(seed: int, epoch: int) -> np.random.Generator:
    """The generator of the extra rows of an epoch."""
    return _generator(_EXTRA, seed, epoch)


def private_rng(seed: int, stream: int, epoch: int) -> np.random.Generator:
    """The generator of a trial's own draws of rows in an epoch, which no other trial repeats."""
    return np.random.Generator(np.random.Philox(key=[seed | stream << 32, _PRIVATE << 32 | epoch]))


def weights_rng(seed: int, stream: int) -> np.random.Generator:
    """The generator of a trial's initial weights."""
    return _generator(_WEIGHTS, seed, stream)


def connections_rng(seed: int, stream: int) -> np.random.Generator:
    """The generator that draws which weights of a trial are 0."""
    return _generator(_CONNECTIONS, seed, stream)


def lane_key(seed: int, stream: int) -> np.ndarray:
    """A trial's own key, uint32 `[2]`, valid as key data of Threefry: no two trials share one."""
    return np.array([seed, stream], np.uint32)


def _generator(purpose: int, seed: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, purpose << 32 | index]))
