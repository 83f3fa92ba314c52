"""Initial weights, made by NumPy: no initialiser is compiled, and a trial starts in milliseconds.

A weight's fans are those of He et al. 2015: `kernel` leaves are `[..., fan_in, fan_out]`, and
leading axes (a convolution's window) multiply both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

Initialiser: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def initial_params(
    shapes: Mapping[str, Any],
    init: str,
    rng: np.random.Generator,
    leaves: Mapping[str, Initialiser] = MappingProxyType({}),
) -> dict[str, Any]:
    """Weights for a tree of shapes, leaf by leaf by its name, float32.

    `kernel` leaves are drawn by the initialiser `init`, `scale` and `var` are ones, `bias` and
    `mean` zeros, and others as the model says in `leaves`.
    """
    return {
        name: initial_params(leaf, init, rng, leaves)
        if isinstance(leaf, Mapping)
        else _leaf(str(name), tuple(leaf.shape), init, rng, leaves)
        for name, leaf in shapes.items()
    }


def _leaf(
    name: str,
    shape: tuple[int, ...],
    init: str,
    rng: np.random.Generator,
    leaves: Mapping[str, Initialiser],
) -> np.ndarray:
    if name in leaves or name == "kernel":
        draw = leaves.get(name) or INITIALISERS[init]
        return draw(rng, shape).astype(np.float32)
    constant = {"scale": 1.0, "var": 1.0, "bias": 0.0, "mean": 0.0}[name]
    return np.full(shape, constant, np.float32)


def _scaled(gain: float, fan: str, shape_of_draw: str) -> Initialiser:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        window = math.prod(shape[:-2])
        fans = {"in": window * shape[-2], "out": window * shape[-1]}
        count = fans["in"] if fan == "in" else (fans["in"] + fans["out"]) / 2
        std = math.sqrt(gain / count)
        if shape_of_draw == "uniform":
            bound = math.sqrt(3) * std
            return rng.uniform(-bound, bound, shape)
        return rng.standard_normal(shape, np.float32) * np.float32(std)

    return draw


def _orthogonal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Saxe et al. 2014: the columns (or the rows, if fewer) are orthonormal."""
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).reshape(shape)


INITIALISERS: dict[str, Initialiser] = {
    "he_normal": _scaled(2.0, "in", "normal"),
    "he_uniform": _scaled(2.0, "in", "uniform"),
    "glorot_normal": _scaled(1.0, "average", "normal"),
    "glorot_uniform": _scaled(1.0, "average", "uniform"),
    "lecun_normal": _scaled(1.0, "in", "normal"),
    "lecun_uniform": _scaled(1.0, "in", "uniform"),
    "orthogonal": _orthogonal,
}
