"""Functions of a user's own in a training step: its loss, augmentation and activation."""

from __future__ import annotations

from typing import ClassVar

from hpo.registry import Need
from hpo.spec.code.own_code import CompiledCode
from hpo.spec.sections.techniques.augment import Augment

# Each part of a batch would draw random numbers of its own, and rows may be mixed.
AUGMENT_NEEDS: frozenset[Need] = frozenset({"whole batch", "mixed rows", "changed rows"})


class OwnLoss(CompiledCode):
    """A loss of your own: a function of outputs and targets that gives a value for each row.

    The function's other arguments are further keys.
    """

    placed: ClassVar[int] = 2  # the outputs, and the targets or the whole batch


class OwnAugment(Augment, CompiledCode):
    """Augmentation of your own: a function that changes the examples of a training batch.

    The function's arguments after the examples and a random key are further keys. It gets the
    examples as hpo's own numbers, which stand beside them, have changed them.
    """

    placed: ClassVar[int] = 2  # the examples, and a key


class OwnActivation(CompiledCode):
    """An activation of your own: a function of one array that gives one of the same shape.

    The function's other arguments are further keys.
    """

    placed: ClassVar[int] = 1  # the outputs of a layer
