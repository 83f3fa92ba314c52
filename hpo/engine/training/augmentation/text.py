"""Texts with words left out or replaced, as ids of tokens."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from hpo.engine.training.augmentation.draws import Draws


def without_words(x: Int[Array, "B T"], share: Any, draws: Draws) -> Int[Array, "B T"]:
    """Texts in which a share of the tokens is padding, the id 0, which models leave out."""
    return jnp.where(draws.uniform(14, x.shape[1:]) < share, 0, x)


def with_synonyms(
    x: Int[Array, "B T"], probability: Any, synonyms: Int[Array, " A"], draws: Draws
) -> Int[Array, "B T"]:
    """Texts in which a share of the tokens that have synonyms is one of them, drawn evenly.

    Those of an id `i` are `synonyms[synonyms[i]:synonyms[i + 1]]`.

    Source: Zhang et al. 2015, "Character-level convolutional networks for text classification"
    (arXiv:1509.01626), Section 2.4, with synonyms of equal chances.
    """
    first, several = synonyms[x], synonyms[x + 1] - synonyms[x]
    is_changed = (draws.uniform(33, x.shape[1:]) < probability) & (several > 0)
    # The largest draw, 1 - 2^-24, times a count is below this count in float32, too.
    place = (draws.uniform(34, x.shape[1:]) * several).astype(jnp.int32)
    return jnp.where(is_changed, synonyms[first + place], x)
