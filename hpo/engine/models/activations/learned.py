"""What layers read, in few bits with a step between levels that is trained.

Source: Esser et al. 2020, "Learned step size quantization" (arXiv:1902.08153). `N` is the number of
features that a layer reads of each row, at all positions, so that it does not depend on the batch.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# No step is smaller, so that numbers can be divided by it.
_LEAST = 1e-8


def ends(bits: Any, is_signed: Any) -> tuple[Any, Any]:
    """The whole numbers of these bits: how far they go below 0, and above.

    All are 0 or more where nothing is below 0, as in Section 2.
    """
    # exp2 may be off by a rounding.
    count = 2.0**bits if isinstance(bits, int) else jnp.round(jnp.exp2(bits))
    below = jnp.where(is_signed, count / 2, 0.0)
    return below, count - 1 - below


def first_step(
    x: Float[Array, "B ..."], bits: Any, is_signed: Any, features: Any
) -> Float[Array, ""]:
    """The step before training: Section 2.1, with the mean size of the first batch; 0 of zeros.

    It has 12 binary digits, so that sums in another order give the same.
    """
    count = x.shape[0] * jnp.asarray(features, jnp.float32)
    _, most = ends(bits, is_signed)
    step = 2 * (jnp.abs(x).sum() / count) / jnp.sqrt(most)
    digits = lax.bitcast_convert_type(step, jnp.uint32)
    return lax.bitcast_convert_type((digits + 0x800) & jnp.uint32(0xFFFFF000), jnp.float32)


def used_step(step: Float[Array, ""], added: Any) -> Float[Array, ""]:
    """A first step and what training has added to it, as numbers are divided by it: above 0."""
    return jnp.maximum(jnp.abs(step + added), _LEAST)


def in_steps(
    x: Float[Array, "..."], step: Float[Array, ""], bits: Any, is_signed: Any, features: Any = None
) -> Float[Array, "..."]:
    """Numbers as whole numbers of these bits times a step: Equations 1 and 2.

    The gradient of a number passes between the ends and is 0 beyond (Equation 5). That of the step
    is Equation 3, by the root of `features` times the largest whole number (Section 2.2). Without
    `features` it is 0.
    """
    below, most = ends(bits, is_signed)
    wide = x.astype(jnp.float32)
    fixed = lax.stop_gradient(step)
    # A product, as an engine computes it, too: see `Levels`.
    levels = lax.stop_gradient(wide) * (1 / fixed)
    codes = jnp.clip(jnp.round(levels), -below, most)
    is_inside = (levels > -below) & (levels < most)
    passed = jnp.where(is_inside, wide, lax.stop_gradient(wide))
    # The differences are 0, and have the gradients.
    found = codes * fixed + (passed - lax.stop_gradient(wide))
    if features is not None:
        slope = jnp.where(is_inside, codes - levels, codes)
        factor = lax.rsqrt(jnp.asarray(features, jnp.float32) * most)
        found = found + factor * slope * (step - fixed)
    return found.astype(x.dtype)
