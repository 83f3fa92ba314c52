"""The layers of a model's weights, for updates that treat them apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import optax

from hpo.engine.models.abstract import name_of

# From weights to the loss, the model's variables and the gradients there, for one batch.
Gradient: TypeAlias = Callable[[Any], tuple[Any, Any, Any]]


class Layers(NamedTuple):
    """Converts between the vector of all weights and the tree of the layers' arrays."""

    part: Callable[[Any], Any]
    join: Callable[[Any], Any]


def by_layers(
    transformation: optax.GradientTransformation, layers: Layers
) -> optax.GradientTransformation:
    """A transformation without a state, applied to the tree of the layers' arrays."""

    def update(vector: Any, params: Any) -> Any:
        tree = layers.part(params)
        changed, _ = transformation.update(layers.part(vector), transformation.init(tree), tree)
        return layers.join(changed)

    return optax.stateless(update)


def mapped(function: Callable[..., Any], *trees: Any) -> Any:
    """The tree of `function(name, array, ...)` for the arrays of the trees at each place."""
    return jax.tree_util.tree_map_with_path(
        lambda path, *arrays: function(name_of(path), *arrays), *trees
    )


def is_head(name: str) -> bool:
    """Whether an array belongs to a model's last layer."""
    return name.partition("/")[0] in ("head", "heads", "head_bias")
