"""The layers of a model's weights, for updates that treat them apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import optax

# From weights to the loss, the model's variables and the gradients there, for one batch.
Gradient: TypeAlias = Callable[[Any], tuple[Any, Any, Any]]

# Arrays of several axes that are not weights between units: factors and offsets of each member of
# an ensemble, or of each column of a table.
_NO_KERNELS = ("bias", "before", "after", "signs", "frequencies", "phases", "offsets")


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


def name_of(path: Any) -> str:
    """The name of an array of weights, such as linears/0/kernel."""
    return str(jax.tree_util.keystr(path, simple=True, separator="/"))


def is_head(name: str) -> bool:
    """Whether an array belongs to a model's last layer."""
    return name.partition("/")[0] in ("head", "heads", "head_bias")


def is_kernel(name: str, array: Any) -> bool:
    """Whether an array holds weights between units, rather than biases or factors of a norm."""
    return array.ndim > 1 and name.rpartition("/")[2] not in _NO_KERNELS
