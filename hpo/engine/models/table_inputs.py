"""Inputs of models for tables: numbers, periodic features of them, and vectors of categories."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.categories import Categories
from hpo.engine.models.initialisers import INITIALISERS, Initialiser

# The sizes of the paper: waves of each column, and the features that they become beside it.
_WAVES, _FEATURES = 16, 3
# The learning rate of these arrays, as a share of the others'. That of the frequencies is the
# spec's `frequency`, 0.1 by default as well.
_RATE = 0.1


def _within(rng: np.random.Generator, shape: tuple[int, ...], bound: float) -> np.ndarray:
    return rng.uniform(-bound, bound, shape)


PERIODIC_LEAVES: Mapping[str, Initialiser] = MappingProxyType(
    {
        "frequencies": INITIALISERS["normal"],
        "phases": lambda rng, shape: _within(rng, shape, math.pi / _RATE),
        "waves": lambda rng, shape: _within(rng, shape, 1 / math.sqrt(_WAVES) / _RATE),
        "offsets": lambda rng, shape: _within(rng, shape, 1 / math.sqrt(_WAVES) / _RATE),
    }
)


class TableInputs(nnx.Module):  # type: ignore[misc]
    """What RealMLP and TabM get of an example: its numbers, their waves, vectors of categories.

    `width` is the size of the result. Flags, one-hot columns and texts enter as they are.
    """

    def __init__(self, spec: Any, shapes: Shapes, rngs: nnx.Rngs) -> None:
        self.categories = Categories(spec.embedding, shapes, rngs)
        self.width, plain = self.categories.width, self.categories.number_width
        numbers = plain if shapes.numbers is None else shapes.numbers
        self.periodic = nnx.List([])
        if spec.numbers == "periodic" and numbers:
            self.periodic = nnx.List([Periodic(numbers)])
            self.width += numbers * _FEATURES

    def __call__(self, x: Float[Array, "B ..."], spec: Any) -> Float[Array, "B N"]:
        """The inputs of the first layer, in the model's precision."""
        found = [self.categories.numbers(x)]
        found += [periodic(found[0], spec.frequency) for periodic in self.periodic]
        if self.categories.columns:
            found.append(self.categories.vectors(x))
        return jnp.concatenate(found, axis=1)


def input_width(spec: Any, features: int) -> int:
    """The number of inputs of the first layer, where every feature is a number."""
    return features * (1 + _FEATURES) if spec.numbers == "periodic" else features


class Periodic(nnx.Module):  # type: ignore[misc]
    """Three linear functions of 16 waves for each of the first features.

    Source: Holzmueller et al. 2024, "Better by default" (arXiv:2407.04491), Section 3, where they
    are called PBLD; after Gorishniy, Rubachev and Babenko 2022, "On embeddings for numerical
    features in tabular deep learning" (arXiv:2203.05556).
    """

    def __init__(self, numbers: int) -> None:
        self.frequencies = nnx.Param(jnp.zeros((numbers, _WAVES)))
        self.phases = nnx.Param(jnp.zeros((numbers, _WAVES)))
        self.waves = nnx.Param(jnp.zeros((numbers, _WAVES, _FEATURES)))
        self.offsets = nnx.Param(jnp.zeros((numbers, _FEATURES)))

    def __call__(self, x: Float[Array, "B N"], frequency: Any) -> Float[Array, "B M"]:
        """Features of waves whose first frequencies have this deviation."""
        numbers = x[:, : self.offsets.shape[0], None].astype(jnp.float32)
        turns = numbers * (frequency * self.frequencies[...])
        waves = jnp.cos(2 * math.pi * turns + _RATE * self.phases[...])
        found = jnp.einsum("bnw,nwf->bnf", waves, _RATE * self.waves[...])
        found = (found + _RATE * self.offsets[...]).astype(x.dtype)
        return found.reshape(x.shape[0], -1)
