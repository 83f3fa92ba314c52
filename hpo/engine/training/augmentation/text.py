"""Texts with words left out or replaced, as ids of tokens."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from hpo.engine.training.augmentation.draws import Draws


def without_words(x: Int[Array, "B T"], share: Any, draws: Draws) -> Int[Array, "B T"]:
    """Texts in which a share of the tokens is padding, the id 0, which models leave out."""
    return jnp.where(draws.uniform(14, x.shape[1:]) < share, 0, x)


def with_other_words(
    x: Int[Array, "B T"],
    probability: Any,
    words: Int[Array, "V K"],
    counts: Int[Array, " V"],
    draws: Draws,
    number: int,
) -> Int[Array, "B T"]:
    """Texts in which a share of the tokens that have alternatives is one of them, drawn evenly.

    The alternatives of an id are the first `counts` ones of its row in `words`. Two draws are made,
    from `number` on.
    """
    several = counts[x]
    is_changed = (draws.uniform(number, x.shape[1:]) < probability) & (several > 0)
    # The largest draw, 1 - 2^-24, times a count is below this count in float32, too.
    place = (draws.uniform(number + 1, x.shape[1:]) * several).astype(jnp.int32)
    return jnp.where(is_changed, words[x, place], x)
