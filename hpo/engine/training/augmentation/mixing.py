"""Rows of a batch mixed with other rows of it, which are those some places further on."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Num

from hpo.engine.program import is_off
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.batches import Batch
from hpo.spec.sections.techniques.augment import Augment

# Below 1/2 each term of the series is less than half of the one before it.
_TERMS, _BISECTIONS = 28, 32
# The logarithm of the least share that float32 holds as a normal number.
_LEAST = -87.0


def with_swaps(x: Float[Array, "B F"], share: Any, draws: Draws) -> Float[Array, "B F"]:
    """Rows in which a share of the numbers is that of the same column of another row."""
    others = x[_turned(draws.rows, draws)]
    return jnp.where(draws.uniform(10, x.shape[1:]) < share, others, x)


def with_kin(
    x: Float[Array, "B ..."], y: Num[Array, " B"], share: Any, draws: Draws, codes: int = 0
) -> Float[Array, "B ..."]:
    """A share of the examples mixed with one of their own class, with a uniform weight.

    Its class stays as it is.
    """
    is_mixed = draws.uniform(11) < share
    weight = jnp.where(is_mixed, draws.uniform(12), 0.0)
    return _between(x, x[partners(y, draws)], weight.reshape(-1, *[1] * (x.ndim - 1)), codes)


def mixed(batch: Batch, augment: Augment, draws: Draws, codes: int) -> Batch:
    """A batch whose examples are mixed with their partners, by `mixup`, `cutmix`, or both.

    Its `partner` has the arrays that a partner's loss reads, and `share` is the part of that loss.

    Source: Zhang et al. 2018, "mixup: Beyond empirical risk minimization" (arXiv:1710.09412),
    Equation 1; Yun et al. 2019, "CutMix" (arXiv:1905.04899), Equations 1 and 2.
    """
    x, turned = batch["x"], _turned(draws.rows, draws)
    others, share = x[turned], jnp.zeros(())
    if not is_off(augment.mixup):
        share = beta_share(augment.mixup, draws.uniform(24)[0])
        x = _between(x, others, share, codes)
    if not is_off(augment.cutmix):
        side = jnp.sqrt(beta_share(augment.cutmix, draws.uniform(25)[0]))
        middle = draws.uniform(26)[0], draws.uniform(27)[0]
        is_pasted = box(side, middle, x.shape[1], x.shape[2])
        x = jnp.where(is_pasted[..., None], others, x)
        share = share + (1 - share) * is_pasted.mean()
    partner = {name: batch[name][turned] for name in ("y", "weight") if name in batch}
    return {**batch, "x": x, "partner": partner, "share": share}


def box(side: Any, middle: tuple[Any, Any], height: int, width: int) -> Bool[Array, "H W"]:
    """The pixels of a box with this share of the sides around a middle, where inside the image."""

    def inside(size: int, middle: Any) -> Array:
        at, half = jnp.floor(middle * size), jnp.floor(side * size) // 2
        places = jnp.arange(size)
        return (places >= at - half) & (places < at + half)

    return inside(height, middle[0])[:, None] & inside(width, middle[1])[None, :]


def beta_share(alpha: Any, uniform: Any) -> Float[Array, ""]:
    """A share with the beta distribution of two equal parameters, by inversion; 0 for `alpha` 0.

    The lower half of the distribution is a power series. Its other half mirrors it.
    """
    safe = jnp.where(alpha > 0, alpha, 1.0)
    ks = jnp.arange(_TERMS)
    steps = jnp.where(ks > 0, (ks - safe) / jnp.maximum(ks, 1), 1.0)
    terms = jnp.cumprod(steps) / (safe + ks)

    def below(log_share: Any) -> Any:
        """What the distribution has below a share, but for a factor."""
        return jnp.exp(safe * log_share) * (terms * jnp.exp(ks * log_share)).sum()

    half = jnp.log(0.5)
    wanted = 2 * jnp.minimum(uniform, 1 - uniform) * below(half)

    def cut(_: Any, ends: tuple[Any, Any]) -> tuple[Any, Any]:
        middle = (ends[0] + ends[1]) / 2
        is_low = below(middle) < wanted
        return jnp.where(is_low, middle, ends[0]), jnp.where(is_low, ends[1], middle)

    low, high = lax.fori_loop(0, _BISECTIONS, cut, (jnp.float32(_LEAST), jnp.float32(half)))
    share = jnp.exp((low + high) / 2)
    return jnp.where(alpha > 0, jnp.where(uniform < 0.5, share, 1 - share), 0.0)


def partners(y: Num[Array, " B"], draws: Draws) -> Int[Array, " B"]:
    """For each row another row of its class, or itself where the batch has no other."""
    count = draws.rows
    turned = _turned(count, draws)
    # How far a row is after the place from which each row looks; its own place comes last.
    ahead = (jnp.arange(count)[None, :] - turned[:, None]) % count
    ahead = jnp.where(jnp.eye(count, dtype=bool), count, ahead)
    return jnp.where(y[:, None] == y[None, :], ahead, count + 1).argmin(1)


def _between(x: Array, others: Array, weight: Any, codes: int) -> Array:
    """Rows on the way to others; codes of categories are those of the nearer row."""
    found = x + weight * (others - x)
    if not codes:
        return found
    return found.at[:, :codes].set(jnp.where(weight > 0.5, others, x)[:, :codes])


def _turned(count: int, draws: Draws) -> Int[Array, " B"]:
    """The place of each row's partner, the same number of places on for all rows of a step."""
    steps = 1 + (draws.uniform(13)[0] * (count - 1)).astype(jnp.int32)
    return (jnp.arange(count) + steps) % count
