"""A training batch, changed as the section `augment` of a spec says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hpo.engine.program import is_off
from hpo.engine.training.augmentation.colour import recoloured, recolours
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.augmentation.geometry import drawn, moved, moved_masks, moves
from hpo.engine.training.augmentation.mixing import mixed, with_kin, with_swaps
from hpo.engine.training.augmentation.noise import with_hole, with_noise, without_numbers
from hpo.engine.training.augmentation.policies import draws_operations, with_operations
from hpo.engine.training.augmentation.series import with_magnitude, with_warp, with_window_warp
from hpo.engine.training.augmentation.text import with_alternatives, without_words
from hpo.engine.training.batches import Batch
from hpo.spec.sections.techniques.augment import Augment


def changed(
    augment: Augment,
    batch: Batch,
    draws: Draws,
    codes: int,
    feed: Batch,
    alternatives: Mapping[str, Any] = MappingProxyType({}),
) -> Batch:
    """The rows of a batch, changed; their first `codes` columns hold codes of categories.

    Masks of pixels move with their images. The feed of a lane says what is `black` and `white`.
    `alternatives` are those of `DeviceData`.
    """
    x, moving = batch["x"], {}
    if draws_operations(augment):
        augment, draws = with_operations(augment, draws, x.shape[1:])
    if moves(augment):
        change = drawn(augment, draws, x.shape[1:3])
        x = moved(x, change)
        moving = {
            name: moved_masks(batch[name], change)
            for name in ("y", "weight")
            if name in batch and batch[name].ndim == 3
        }
    if recolours(augment):
        x = recoloured(x, augment, draws, feed["black"], feed["white"])
    if not is_off(augment.cutout):
        x = with_hole(x, augment.cutout, draws)
    if not is_off(augment.time_warp):
        x = with_warp(x, augment.time_warp, draws)
    if not is_off(augment.window_warp):
        x = with_window_warp(x, augment.window_warp, draws)
    if not is_off(augment.magnitude):
        x = with_magnitude(x, augment.magnitude, draws, codes)
    if not is_off(augment.gaussian_noise):
        x = with_noise(x, augment.gaussian_noise, draws, codes)
    if not is_off(augment.column_dropout):
        x = without_numbers(x, augment.column_dropout, draws, codes)
    if not is_off(augment.swap_noise):
        x = with_swaps(x, augment.swap_noise, draws)
    if not is_off(augment.same_class):
        x = with_kin(x, batch["y"], augment.same_class, draws, codes)
    for name, stream in (("synonyms", 33), ("homophones", 35)):
        if not is_off(chance := getattr(augment, name)):
            x = with_alternatives(x, chance, alternatives[name], draws, stream)
    if not is_off(augment.word_dropout):
        x = without_words(x, augment.word_dropout, draws)
    batch = {**batch, **moving, "x": x}
    if is_off(augment.mixup) and is_off(augment.cutmix):
        return batch
    return mixed(batch, augment, draws, codes)
