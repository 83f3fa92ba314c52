"""The model section of a spec: a module of a user's own, `model: {python: nets.py:Net}`."""

from __future__ import annotations

from typing import ClassVar

from hpo.registry import Need
from hpo.spec.code.own_code import CompiledCode
from hpo.spec.sections.models.pretrained import Pretrained

# The arguments that hpo gives a module by their names, unless the spec does, and what they are.
GIVEN = {
    "rngs": "the random streams",
    "key": "a random key",
    "inputs": "the numbers of an example",
    "in_features": "the numbers of an example",
    "in_channels": "the last size of an example",
    "shape": "the shape of an example",
    "outputs": "the classes, or 1",
    "out_features": "the classes, or 1",
    "classes": "the classes, or 1",
    "num_classes": "the classes, or 1",
    "vocabulary": "the number of different tokens, 0 without",
    "category_counts": "the number of codes in each of the first columns, which hold codes",
    "dtype": "the type of train.precision",
}
# Its layers may look at a whole batch, as batch norm does.
NEEDS: frozenset[Need] = frozenset({"whole batch"})


class OwnModel(CompiledCode, Pretrained):
    """A module of a user's own."""

    named: ClassVar = GIVEN
