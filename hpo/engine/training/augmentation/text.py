"""Texts with words left out or replaced, as ids of tokens."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from hpo.engine.training.augmentation.draws import Draws


def without_words(x: Int[Array, "B T"], share: Any, draws: Draws) -> Int[Array, "B T"]:
    """Texts in which a share of the tokens is padding, the id 0, which models leave out."""
    return jnp.where(draws.uniform(14, x.shape[1:]) < share, 0, x)


def with_alternatives(
    x: Int[Array, "B T"],
    probability: Any,
    alternatives: Int[Array, " A"],
    draws: Draws,
    stream: int,
) -> Int[Array, "B T"]:
    """Texts in which a share of the tokens that have alternatives is one of them, drawn evenly.

    Those of an id `i` are `alternatives[alternatives[i]:alternatives[i + 1]]`. Two numbers of draws
    are used, from `stream` on.

    Source: Zhang et al. 2015, "Character-level convolutional networks for text classification"
    (arXiv:1509.01626), Section 2.4, with synonyms of equal chances.
    """
    first, several = alternatives[x], alternatives[x + 1] - alternatives[x]
    is_changed = (draws.uniform(stream, x.shape[1:]) < probability) & (several > 0)
    # The largest draw, 1 - 2^-24, times a count is below this count in float32, too.
    place = (draws.uniform(stream + 1, x.shape[1:]) * several).astype(jnp.int32)
    return jnp.where(is_changed, alternatives[first + place], x)
