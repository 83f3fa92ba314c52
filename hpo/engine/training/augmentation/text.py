"""Texts with words left out, as ids of tokens."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from hpo.engine.training.augmentation.draws import Draws


def without_words(x: Int[Array, "B T"], share: Any, draws: Draws) -> Int[Array, "B T"]:
    """Texts in which a share of the tokens is padding, the id 0, which models leave out."""
    return jnp.where(draws.uniform(14, x.shape[1:]) < share, 0, x)
