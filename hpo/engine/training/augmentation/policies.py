"""Operations that are drawn for each image: RandAugment and TrivialAugment."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool

from hpo.engine.program import is_off
from hpo.engine.training.augmentation.draws import Draws
from hpo.spec.marks import with_leaves
from hpo.spec.sections.techniques.augment import POLICIES, Augment


class Operation(NamedTuple):
    """The number of an operation at strength 1, and the random numbers that it multiplies."""

    strongest: float
    numbers: tuple[int, ...]


# That of `shift` is a share of the shorter side.
OPERATIONS = {
    "shift": Operation(0.3, (4, 5)),
    "rotate": Operation(30.0, (1,)),
    "scale": Operation(0.3, (2,)),
    "shear": Operation(0.3, (3,)),
    "brightness": Operation(0.9, (18,)),
    "contrast": Operation(0.9, (19,)),
    "saturation": Operation(0.9, (20,)),
    "hue": Operation(0.2, (21,)),
}
_OF_COLOURS = ("saturation", "hue")
_USUAL_STRENGTH = 0.3


def draws_operations(augment: Augment) -> bool:
    """Whether an augmentation draws operations for each image."""
    return not all(is_off(getattr(augment, name)) for name in POLICIES)


def with_operations(
    augment: Augment, draws: Draws, shape: tuple[int, ...]
) -> tuple[Augment, Draws]:
    """An augmentation whose numbers are arrays, one for each image, and its random numbers.

    Where an operation is drawn, its number is that of the strength, else its own. Images have a
    height, a width and channels.

    Source: Cubuk et al. 2020, "RandAugment" (arXiv:1909.13719), Figure 2; Müller and Hutter 2021,
    "TrivialAugment" (arXiv:2103.10158), Section 3.
    """
    names = [name for name in OPERATIONS if shape[-1] == 3 or name not in _OF_COLOURS]
    strength = _USUAL_STRENGTH if augment.rand_strength is None else augment.rand_strength
    by_count = chosen(draws, 30, len(names), augment.rand_augment)
    by_chance = chosen(draws, 31, len(names), 1)
    # Without strength, an operation keeps its own number.
    by_count = by_count & (jnp.asarray(strength) > 0)
    by_chance = by_chance & (draws.uniform(32) < augment.trivial_augment)[:, None]
    # A number up to the strongest one is one of a uniform strength.
    strengths = jnp.where(by_chance, 1.0, strength)
    numbers: dict[str, Any] = {}
    at_ends: dict[int, Any] = {}
    for place, name in enumerate(names):
        unit = min(shape[:2]) if name == "shift" else 1
        number = strengths[:, place] * (OPERATIONS[name].strongest * unit)
        is_drawn = (by_count | by_chance)[:, place]
        numbers[name] = jnp.where(is_drawn, number, getattr(augment, name))
        is_exact = (by_count & ~by_chance)[:, place]
        at_ends |= dict.fromkeys(OPERATIONS[name].numbers, is_exact)
    return with_leaves(augment, numbers), draws._replace(at_ends=at_ends)


def chosen(draws: Draws, number: int, operations: int, count: Any) -> Bool[Array, "B K"]:
    """For each row, which of its operations are the `count` that are drawn without repetition."""
    uniform = draws.uniform(number, (operations,))
    one, other = uniform[:, :, None], uniform[:, None, :]
    # Of equal numbers the first one comes first.
    comes_after = (one > other) | ((one == other) & jnp.tri(operations, k=-1, dtype=bool))
    return comes_after.sum(-1) < count
