"""A training batch, changed as the section `augment` of a spec says."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp

from hpo.engine.program import Program, is_off
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.geometry import drawn, moved, moved_masks, moves
from hpo.engine.training.augmentation.mixing import with_kin, with_swaps
from hpo.engine.training.augmentation.noise import with_hole, with_noise, without_numbers
from hpo.engine.training.augmentation.text import without_words
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
    if not is_off(augment.swap_noise):
        x = with_swaps(x, augment.swap_noise, draws)
    if not is_off(augment.same_class):
        x = with_kin(x, batch["y"], augment.same_class, draws)
    if not is_off(augment.word_dropout):
        x = without_words(x, augment.word_dropout, draws)
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
    has_numbers = jnp.issubdtype(program.example_type, jnp.floating)
    is_text = not has_numbers and len(shape) == 1 and program.task != "language"
    found = f"these examples are {shape} {'numbers' if has_numbers else 'tokens'}"
    has_classes = has_numbers and program.task == "classification"
    kinds = {name: ("changes images", has_numbers and len(shape) == 3) for name in OF_IMAGES}
    kinds |= dict.fromkeys(OF_TABLES, ("changes rows of a table", has_numbers and len(shape) == 1))
    kinds["word_dropout"] = "changes texts as ids of tokens", is_text
    kinds["same_class"] = f"mixes numbers of one class, and the task is {program.task}", has_classes
    for name in Augment.model_fields:
        what, fits = kinds.get(name, ("changes numbers", has_numbers))
        if not fits and not is_off(getattr(augment, name)):
            yield f"augment.{name}: {what}, and {found}: remove it."
