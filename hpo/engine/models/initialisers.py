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
    kernel: Initialiser,
    rng: np.random.Generator,
    leaves: Mapping[str, Initialiser] = MappingProxyType({}),
    parent: str = "",
) -> dict[str, Any]:
    """Float32 weights for a tree of shapes; the name of a leaf decides its initialiser.

    `kernel` draws the leaves of that name. `scale` and `var` are ones. `bias` and `mean` are zeros,
    and so is what decides how inputs are rounded, such as `low` and `high`.
    `embedding` has a vector of squared length 1, on average, for each id but 0, as Flax draws it.
    `leaves` holds the initialisers of the model's other names, or of names below a `parent`, as
    `last.scale` is. The kernels of `left` and `right` beside each other are factors of one that
    `kernel` draws.
    """
    # Among variables, both hold what decides how their inputs are rounded.
    if shapes.keys() == {"left", "right"} and "kernel" in shapes["left"]:
        return _factors(shapes, kernel, rng)
    return {
        name: initial_params(leaf, kernel, rng, leaves, str(name))
        if isinstance(leaf, Mapping)
        else _leaf(parent, str(name), tuple(leaf.shape), kernel, rng, leaves)
        for name, leaf in shapes.items()
    }


# Biases, running means, and what decides how inputs are rounded.
_ZEROS = ("bias", "mean", "low", "high", "step", "least", "bits")


def _leaf(
    parent: str,
    name: str,
    shape: tuple[int, ...],
    kernel: Initialiser,
    rng: np.random.Generator,
    leaves: Mapping[str, Initialiser],
) -> np.ndarray:
    known: dict[str, Initialiser] = {"kernel": kernel, "embedding": _category_vectors, **leaves}
    draw = known.get(f"{parent}.{name}", known.get(name))
    if draw is not None:
        return draw(rng, shape).astype(np.float32)
    constant = {"scale": 1.0, "var": 1.0, **dict.fromkeys(_ZEROS, 0.0)}[name]
    return np.full(shape, constant, np.float32)


def _factors(
    shapes: Mapping[str, Any], kernel: Initialiser, rng: np.random.Generator
) -> dict[str, Any]:
    """The factors of the matrix of low rank that is closest to a drawn one, and of its spread.

    Source: Khodak et al. 2021, "Initialization and regularization of factorized neural layers"
    (arXiv:2105.01029), spectral initialisation; we also restore the spread, which falls with the
    rank.
    """
    first, second = (tuple(shapes[name]["kernel"].shape) for name in ("left", "right"))
    left, right = np.zeros((math.prod(first[:-1]), first[-1])), np.zeros(second[-2:])
    drawn = kernel(rng, (*first[:-1], second[-1])).reshape(len(left), -1)
    u, values, v = np.linalg.svd(drawn, full_matrices=False)
    kept = values[: right.shape[0]]
    restored = kept * math.sqrt(np.square(values).sum() / (np.square(kept).sum() or 1.0))
    left[:, : len(kept)] = u[:, : len(kept)] * np.sqrt(restored)
    right[: len(kept)] = np.sqrt(restored)[:, None] * v[: len(kept)]
    biases = {name: np.zeros(leaf.shape) for name, leaf in shapes["right"].items()}
    found = {
        "left": {"kernel": left.reshape(first)},
        "right": {**biases, "kernel": right.reshape(second)},
    }
    return {
        name: {leaf: array.astype(np.float32) for leaf, array in part.items()}
        for name, part in found.items()
    }


def unit_vectors(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Vectors whose squared length is 1 on average, as those of `nnx.Embed`."""
    drawn: np.ndarray = rng.standard_normal(shape, np.float32) / np.float32(math.sqrt(shape[-1]))
    return drawn


def _category_vectors(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A vector for each code; zeros for 0, the code of empty cells and new categories."""
    drawn = unit_vectors(rng, shape)
    drawn[0] = 0
    return drawn


def kernel_initialiser(model: Any) -> Initialiser:
    """The initialiser of a model's kernels, by its spec: `init`, `init_scale` and `init_gain`."""
    name, factor = getattr(model, "init", "he_normal"), getattr(model, "init_scale", None)
    draw = INITIALISERS[name]
    if factor is None:
        factor = _PLAIN_SCALE if name in ("normal", "uniform") else 1.0
    if getattr(model, "init_gain", "none") == "auto":
        # The initialisers of He et al. contain the gain of ReLU already.
        own = math.sqrt(2) if name.startswith("he_") else 1.0
        factor *= gain(model.activation, model.slope) / own
    if factor == 1.0:
        return draw
    return lambda rng, shape: draw(rng, shape) * factor


# The scale of `normal` and `uniform` if the spec has none: small enough for wide layers.
_PLAIN_SCALE = 0.05


def gain(activation: str, slope: float | None = None) -> float:
    """The factor that keeps the spread of a layer's outputs, by its activation.

    Source: He et al. 2015, equation 14, for (leaky) ReLU; 5/3 for tanh and 1 for the others, as
    PyTorch's `calculate_gain` has them.
    """
    if activation == "relu":
        return math.sqrt(2)
    if activation == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if slope is None else slope) ** 2))
    return 5 / 3 if activation == "tanh" else 1.0


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
    "normal": lambda rng, shape: rng.standard_normal(shape, np.float32),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "zeros": lambda rng, shape: np.zeros(shape, np.float32),
}
