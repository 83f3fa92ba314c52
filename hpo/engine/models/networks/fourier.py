"""Random Fourier features: a kernel machine as a linear model over fixed random waves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hpo.engine.models.abstract import Shapes
from hpo.engine.models.categories import Categories
from hpo.engine.models.dropout import Dropout
from hpo.engine.models.initialisers import INITIALISERS, Initialiser
from hpo.engine.models.layers import bounded
from hpo.spec.sections.models.tables import Fourier as FourierSpec

# The share of the last batch in the running mean, as in our batch norms.
_MOVING = 0.1


class Fixed(nnx.Variable):  # type: ignore[misc]
    """Numbers that are drawn once for a trial and not trained."""


class Carry(nnx.Variable):  # type: ignore[misc]
    """Numbers that a training step passes to the next one."""


class Fourier(nnx.Module):  # type: ignore[misc]
    """`fourier`: waves of random frequencies, centred by their running mean, and a linear head.

    Source: Rahimi and Recht 2007, "Random features for large-scale kernel machines", Algorithm 1;
    the centring is mean-only batch normalisation (Salimans and Kingma 2016, Section 3).
    """

    leaves: ClassVar[Mapping[str, Initialiser]] = MappingProxyType(
        {
            "frequencies": INITIALISERS["normal"],
            "phases": lambda rng, shape: rng.uniform(0, 2 * math.pi, shape),
            "centre": INITIALISERS["zeros"],
        }
    )

    def __init__(self, spec: FourierSpec, shapes: Shapes, rngs: nnx.Rngs) -> None:
        self.categories = Categories(spec.embedding, shapes, rngs)
        self.frequencies = Fixed(jnp.zeros((self.categories.width, spec.features)))
        self.phases = Fixed(jnp.zeros((spec.features,)))
        self.centre = Carry(jnp.zeros((spec.features,)))
        self.head = nnx.Linear(spec.features, shapes.outputs, dtype=shapes.dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B ..."], spec: FourierSpec, *, train: bool, dropout: Dropout
    ) -> Float[Array, "B K"]:
        """Logits, or predictions of a regression."""
        x = self.categories(x)
        scaled = x / jnp.asarray(spec.bandwidth, x.dtype)
        waves = jnp.cos(scaled @ self.frequencies[...].astype(x.dtype) + self.phases[...])
        features = math.sqrt(2 / spec.features) * waves
        if train:
            mean = features.mean(0)
            self.centre[...] = (1 - _MOVING) * self.centre[...] + _MOVING * mean
            return bounded(spec.output, self.head(dropout(features - mean, layer=0)))
        return bounded(spec.output, self.head(features - self.centre[...]))
