"""The filters before convolutions of groups in an order in which as many of each group may go.

Groups are of one size. So the filters that are cut are put at the same places of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from hpo.engine.training.compression.packing import leaves
from hpo.trained.packed import with_arrays

_CONVOLUTION = re.compile(r"params/(?P<block>.*?)convs/(?P<index>\d+)/kernel")


def with_groups_aligned(weights: Any, groups_of: Callable[[int], int]) -> Any:
    """Weights of the same answers, in which each group has the filters that are cut last.

    A convolution of a list `convs` reads the one before it, with a norm of the list `norms`
    between. `groups_of` gives at most how many groups a convolution has.
    """
    arrays = {name: np.asarray(one) for name, one in leaves(weights)}
    for name in [*arrays]:
        found = _CONVOLUTION.fullmatch(name)
        if found is not None and (index := int(found["index"])):
            _align(arrays, name, found["block"], index - 1, groups_of(index - 1))
    return with_arrays(weights, arrays)


def _align(arrays: dict[str, np.ndarray], name: str, block: str, before: int, own: int) -> None:
    layer = f"{block}convs/{before}"
    # The last factor of a layer of low rank has its filters.
    layer = f"{layer}/right" if f"params/{layer}/right/kernel" in arrays else layer
    kernel, filters = arrays[name], arrays[f"params/{layer}/kernel"]
    count, size = filters.shape[-1], kernel.shape[-2]
    groups = count // size
    # Filters stay in the group of which they read the channels.
    if size == 1 or groups < 2 or groups * size != count or groups % own:
        return
    reads: np.ndarray = np.any(filters != 0, axis=tuple(range(filters.ndim - 1)))
    order = np.argsort(~reads.reshape(groups, size), axis=1, kind="stable")
    places = (order + size * np.arange(groups)[:, None]).reshape(-1)
    for prefix in (f"params/{layer}/", *(f"{each}/{block}norms/{before}/" for each in _TREES)):
        for one in [one for one in arrays if one.startswith(prefix)]:
            arrays[one] = arrays[one][..., places]
    parts = np.split(kernel, groups, axis=-1)
    rows = [part[..., each, :] for part, each in zip(parts, order, strict=True)]
    arrays[name] = np.concatenate(rows, axis=-1)


_TREES = ("params", "variables")
