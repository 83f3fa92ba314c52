"""A training batch, changed as the section `augment` of a spec says."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp

from hpo.engine.program import Program, is_off
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.geometry import drawn, moved, moved_masks, moves
from hpo.engine.training.augmentation.noise import with_hole, with_noise, without_numbers
from hpo.engine.training.batches import Batch
from hpo.errors import HpoError
from hpo.spec.sections.techniques.augment import OF_IMAGES, OF_TABLES, Augment


def changed(augment: Augment, batch: Batch, draws: Draws, codes: int) -> Batch:
    """The rows of a batch, changed; their first `codes` columns hold codes of categories.

    Masks of pixels move with their images.
    """
    x, moving = batch["x"], {}
    if moves(augment):
        change = drawn(augment, draws)
        x = moved(x, change)
        moving = {
            name: moved_masks(batch[name], change)
            for name in ("y", "weight")
            if name in batch and batch[name].ndim == 3
        }
    if not is_off(augment.cutout):
        x = with_hole(x, augment.cutout, draws)
    if not is_off(augment.gaussian_noise):
        x = with_noise(x, augment.gaussian_noise, draws, codes)
    if not is_off(augment.column_dropout):
        x = without_numbers(x, augment.column_dropout, draws, codes)
    return {**batch, **moving, "x": x}


def check_augment(program: Program) -> None:
    """Refuse numbers for another kind of examples than those of the data.

    Raises:
        HpoError: for the first of them.
    """
    for text in _mistakes(program):
        raise HpoError(text)


def _mistakes(program: Program) -> Iterator[str]:
    augment, shape = program.template.augment, list(program.example_shape)
    if not isinstance(augment, Augment):
        return
    kinds = dict.fromkeys(OF_IMAGES, (3, "images"))
    kinds |= dict.fromkeys(OF_TABLES, (1, "rows of a table"))
    for name in Augment.model_fields:
        if is_off(getattr(augment, name)):
            continue
        if not jnp.issubdtype(program.example_type, jnp.floating):
            yield f"augment.{name}: changes numbers, and these examples are tokens: remove it."
        axes, kind = kinds.get(name, (len(shape), ""))
        if axes != len(shape):
            yield f"augment.{name}: changes {kind}, and these examples are {shape}: remove it."
