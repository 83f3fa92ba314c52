"""The numbers of attention's heads in an order in which as many of each head may go.

All heads have as many numbers, in one array. So the units that are cut are put at the same places
of each. A score does not depend on the order of the numbers of its query and its key, nor an answer
on that of values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def with_heads_aligned(weights: Any, heads: int) -> Any:
    """Weights of the same answers, in which each head has the units that are cut last."""
    if not isinstance(weights, Mapping):
        return weights
    if {"joint", "out"} <= weights.keys():
        return {**weights, **_aligned(weights["joint"], weights["out"], heads)}
    return {name: with_heads_aligned(one, heads) for name, one in weights.items()}


def _aligned(joint: Any, out: Any, heads: int) -> dict[str, Any]:
    """The layer of queries, keys and values, and the one that reads their heads."""
    last, first = joint.get("right", joint), out.get("left", out)  # of products of low rank
    kernel = np.asarray(last["kernel"])
    sizes = (3, heads, kernel.shape[1] // (3 * heads))
    columns = [kernel, *(np.asarray(last[name])[None] for name in ("bias",) if name in last)]
    is_read: np.ndarray = np.any(np.concatenate(columns), axis=0)
    query, key, value = is_read.reshape(sizes)
    # A number counts that both a query and a key have.
    read = np.stack([query & key] * 2 + [value])
    order = np.argsort(~read, axis=-1, kind="stable")
    starts = np.arange(3 * heads).reshape(3, heads, 1) * sizes[2]
    places = (starts + order).reshape(-1)
    rows = (starts[0] + order[2]).reshape(-1)
    moved = {name: np.asarray(one)[..., places] for name, one in last.items()}
    read_in_order = {**first, "kernel": np.asarray(first["kernel"])[rows]}
    return {
        "joint": {**joint, "right": moved} if "right" in joint else moved,
        "out": {**out, "left": read_in_order} if "left" in out else read_in_order,
    }
