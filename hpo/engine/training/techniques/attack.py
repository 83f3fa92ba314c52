"""The section `attack`: examples changed a little so that their loss rises the most.

An attack sees the model in evaluation mode, so that a batch norm's statistics are fixed and no row
depends on another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from hpo.engine.program import Program, is_off
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.batches import Batch
from hpo.engine.training.forward import forward
from hpo.engine.training.targets.sums import row_losses
from hpo.spec.experiment import Training
from hpo.spec.sections.techniques.attack import Attack

# From examples to the gradient of the loss of each at its numbers.
Slope: TypeAlias = Callable[[Float[Array, "B ..."]], Float[Array, "B ..."]]

# Madry et al. 2018 train with 7 steps (Section 4).
_STEPS = 7
# The steps of an attack add up to this many times its bound, so that any point can be reached.
_REACH = 2.5
# The numbers of its draws; augmentations have smaller ones.
_START, _ROWS = 100, 101


def attacked(
    program: Program, spec: Training, params: Any, variables: Any, batch: Batch, draws: Draws
) -> Batch:
    """A training batch whose examples the section `attack` has changed."""
    attack: Attack = spec.attack
    if is_off(attack.epsilon):
        return batch
    x, slope = batch["x"], slope_of(program, spec, params, variables, batch)
    if attack.name == "fgsm":
        found = climbed(slope, x, x, attack.epsilon, 1)
    else:
        drawn = 2 * draws.uniform(_START, x.shape[1:]) - 1
        start = x + attack.epsilon * _but_codes(drawn, len(program.categories))
        found = climbed(
            slope, x, start, attack.epsilon, _STEPS if attack.steps is None else attack.steps
        )
    if attack.share is not None:
        is_hit = (draws.uniform(_ROWS) < attack.share).reshape(-1, *[1] * (x.ndim - 1))
        found = jnp.where(is_hit, found, x)
    return {**batch, "x": found}


def judged_attack(
    program: Program, spec: Training, params: Any, variables: Any, batch: Batch
) -> Batch:
    """A batch changed as `robust_accuracy` asks: by `pgd` from the examples themselves."""
    slope, attack = slope_of(program, spec, params, variables, batch), spec.attack
    found = climbed(slope, batch["x"], batch["x"], attack.judge_epsilon, attack.judge_steps)
    return {**batch, "x": found}


def slope_of(program: Program, spec: Training, params: Any, variables: Any, batch: Batch) -> Slope:
    """The gradient of each row's loss at its own numbers; 0 for codes of categories."""

    def total(x: Array) -> Array:
        outputs, _ = forward(program, spec, params, variables, {**batch, "x": x})
        return row_losses(program.task, outputs, batch, spec.loss).sum()

    return lambda x: _but_codes(jax.grad(total)(x), len(program.categories))


def climbed(
    slope: Slope, x: Float[Array, "B ..."], start: Float[Array, "B ..."], epsilon: Any, steps: Any
) -> Float[Array, "B ..."]:
    """Examples after `steps` steps uphill from `start`, no number further than `epsilon` from `x`.

    One step reaches the bound.

    Source: Goodfellow et al. 2015, "Explaining and harnessing adversarial examples"
    (arXiv:1412.6572), Section 4, for one step; Madry et al. 2018, "Towards deep learning models
    resistant to adversarial attacks" (arXiv:1706.06083), Equation 2.1 and Section 2.1, for several.
    """
    low, high = x - epsilon, x + epsilon
    size = _REACH * epsilon / jnp.asarray(steps, jnp.float32)

    def step(_: Any, at: Array) -> Array:
        return jnp.clip(at + size * jnp.sign(slope(at)), low, high)

    return lax.fori_loop(0, jnp.asarray(steps, jnp.int32), step, start)


def _but_codes(numbers: Float[Array, "B ..."], codes: int) -> Float[Array, "B ..."]:
    """The numbers, with 0 for the first `codes` columns, which hold codes of categories."""
    return numbers.at[:, :codes].set(0.0) if codes else numbers
