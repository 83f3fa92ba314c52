"""Learning-rate schedules: the factor of the learning rate at a step.

Written here because Optax's schedules refuse traced lengths and rates, which must be knobs. The
host computes other numbers by the same shapes, whose progress is then a plain float.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hpo import registry
from hpo.engine.oneof import choose
from hpo.engine.program import is_off
from hpo.spec.sections import optimizer as specs

Number: TypeAlias = Float[Array, ""] | float


def schedule_factor(
    spec: Any, step: Int[Array, ""], total_steps: Float[Array, ""] | float
) -> Float[Array, ""]:
    """The factor at `step` (from 0) of `total_steps`: warm-up first, then the schedule's shape."""
    return choose(spec, _factor, step, total_steps)


def _factor(spec: Any, step: Int[Array, ""], total_steps: Any) -> Float[Array, ""]:
    warmup_steps = spec.warmup * total_steps
    progress = (step - warmup_steps) / jnp.maximum(total_steps - warmup_steps, 1.0)
    factor = registry.function("schedule", spec.name)(spec, jnp.clip(progress, 0.0, 1.0))
    if is_off(spec.warmup):
        return factor
    return factor * risen(spec, jnp.minimum((step + 1.0) / jnp.maximum(warmup_steps, 1.0), 1.0))


def risen(spec: specs.Shape, progress: Number) -> Number:
    """The factor of a warm-up, this share of which is done."""
    start = spec.warmup_start
    if spec.warmup_shape == "exponential":
        return _namespace(progress).asarray(start) ** (1 - progress)
    if spec.warmup_shape == "quadratic":
        progress = progress**2
    elif spec.warmup_shape == "cosine":
        progress = 1 - _half_wave(progress)
    return progress if is_off(start) else start + (1 - start) * progress


def constant(spec: specs.Constant, progress: Number) -> Number:
    return _namespace(progress).ones_like(progress)


def cosine(spec: specs.Cosine, progress: Number) -> Number:
    return spec.final + (1 - spec.final) * 0.5 * (1 + jnp.cos(jnp.pi * progress))


def linear(spec: specs.Linear, progress: Number) -> Number:
    return 1 - (1 - spec.final) * progress


def polynomial(spec: specs.Polynomial, progress: Number) -> Number:
    return spec.final + (1 - spec.final) * (1 - progress) ** spec.power


def cosine_restarts(spec: specs.CosineRestarts, progress: Number) -> Number:
    xp = _namespace(progress)
    # The margin is for rounding, as in `step`.
    done = xp.minimum(xp.floor((progress + 1e-6) * spec.cycles), spec.cycles - 1)
    within = xp.clip(progress * spec.cycles - done, 0.0, 1.0)
    wave = spec.final + (1 - spec.final) * _half_wave(within)
    return xp.asarray(spec.factor) ** done * wave


def one_cycle(spec: specs.OneCycle, progress: Number) -> Number:
    up = 1 - (1 - spec.start) * _half_wave(progress / spec.rise)
    down = (progress - spec.rise) / (1 - spec.rise)
    xp = _namespace(progress)
    return xp.where(progress < spec.rise, up, spec.final + (1 - spec.final) * _half_wave(down))


def _half_wave(progress: Number) -> Number:
    """Half a cosine from 1 to 0."""
    xp = _namespace(progress)
    return 0.5 * (1 + xp.cos(xp.pi * progress))


def exponential(spec: specs.Exponential, progress: Number) -> Number:
    return _namespace(progress).asarray(spec.final) ** progress


def coslog(spec: specs.CosLog, progress: Number) -> Number:
    xp = _namespace(progress)
    cycles = xp.asarray(spec.cycles, xp.float32)
    waves = xp.log2(1 + (xp.exp2(cycles) - 1) * progress)
    return 0.5 * (1 - xp.cos(2 * xp.pi * waves))


def step(spec: specs.Step, progress: Number) -> Number:
    # The margin is for rounding: 4/7 of the way must be four drops of six, not 3.9999998.
    drops = jnp.minimum(jnp.floor((progress + 1e-6) * (spec.drops + 1)), spec.drops)
    return jnp.asarray(spec.factor) ** drops


def piecewise(spec: specs.Piecewise, progress: Number) -> Number:
    xp = _namespace(progress)
    drops = (
        (spec.first, spec.first_factor),
        (spec.second, spec.second_factor),
        (spec.third, spec.third_factor),
    )
    rate = xp.ones_like(progress)
    for share, factor in drops:
        # The margin is for rounding, as in `step`.
        is_due = (progress + 1e-6 >= share) & (xp.asarray(share) < 1)
        rate = xp.where(is_due, rate * factor, rate)
    return rate


def _namespace(progress: Number) -> Any:
    """The module that computes: NumPy for a plain float, which compiles nothing."""
    return np if isinstance(progress, float) else jnp
