"""The order of examples: the same for every trial of a study at the same epoch of its own.

Common random numbers: configurations are compared on the same order of the same data, whenever and
wherever they run.
"""

from __future__ import annotations

import numpy as np

# Names the purpose of a Philox stream, so that data order, weights and proposals never share one.
_ORDER = 1
_WEIGHTS = 2


def batches(seed: int, epoch: int, rows: int, batch_size: int) -> np.ndarray:
    """Row indices of every step of an epoch (counted from 0), int32 `[steps, batch_size]`."""
    steps = rows // batch_size
    order = _generator(_ORDER, seed, epoch).permutation(rows)[: steps * batch_size]
    return order.astype(np.int32).reshape(steps, batch_size)


def weights_rng(seed: int, stream: int) -> np.random.Generator:
    """The generator of a trial's initial weights."""
    return _generator(_WEIGHTS, seed, stream)


def lane_key(seed: int, stream: int) -> np.ndarray:
    """A trial's own key, uint32 `[2]`, valid as key data of Threefry: no two trials share one."""
    return np.array([seed, stream], np.uint32)


def _generator(purpose: int, seed: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, purpose << 32 | index]))
