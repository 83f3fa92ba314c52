"""A network without the units that are cut, whatever its model is.

Its function is traced, and the places of axes are found that its outputs do not need: those of
which all that reads them is known. It then runs with smaller arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hpo.engine.models.abstract import is_kernel
from hpo.engine.training.techniques.layers import is_head
from hpo.trained.exported.slimming.kept import Kept, places_kept
from hpo.trained.exported.slimming.known import what_is_known
from hpo.trained.exported.slimming.smaller import in_operations, outputs_of


class Network(NamedTuple):
    """A function of weights and of the features of some rows, and those weights."""

    run: Callable[[Any, Any], Any]
    weights: Any

    def outputs(self, x: Any) -> Any:
        """The outputs for some rows."""
        return self.run(self.weights, x)


def slimmed(network: Network, example: Any) -> Network:
    """A network that answers the same up to rounding, without units that always answer the same.

    What they answer is added to the sums that read them. `example` has the shape of `x` and is the
    only one that the slim network takes. One of which no unit is cut is given back as it is.
    """
    arrays, tree = jax.tree.flatten(network.weights)
    if not any(map(_has_cut, arrays)):
        return network
    # Single numbers stay what they are: the ends of ranges are read while a function is traced.
    places = [place for place, array in enumerate(arrays) if array.ndim]
    jaxpr, own = _traced(network, places, example)
    weights = [*own, *(np.asarray(arrays[place]) for place in places)]
    kept = places_kept(jaxpr, what_is_known(jaxpr, weights))
    slim = [_cut(kept, pair) for pair in zip(jaxpr.invars, weights, strict=False)]
    if all(a.shape == b.shape for a, b in zip(weights, slim, strict=True)):
        return network
    for place, array in zip(places, slim[len(own) :], strict=True):
        arrays[place] = array

    def run(weights: Any, x: Any) -> Any:
        given = jax.tree.leaves(weights)
        return outputs_of(jaxpr, kept, [*slim[: len(own)], *(given[i] for i in places), x])[0]

    return Network(run, jax.tree.unflatten(tree, arrays))


def _traced(network: Network, places: Sequence[int], example: Any) -> tuple[Any, list[np.ndarray]]:
    """The function of a network in single operations, and arrays that it takes before weights.

    Those are the weights at these places.
    """
    arrays, tree = jax.tree.flatten(network.weights)

    def run(given: Sequence[Any], x: Any) -> Any:
        found = [*arrays]
        for place, array in zip(places, given, strict=True):
            found[place] = array
        return network.run(jax.tree.unflatten(tree, found), x)

    return in_operations(run, [arrays[place] for place in places], example)


class Units(NamedTuple):
    """Hidden units of a model and of its export, and how many of the latter are cut, too."""

    model: int
    export: int
    stay: int


def units(whole: Any, slim: Any) -> Units:
    """The units of the kernels among a model's weights, and among those without what is cut."""
    (before, _), (after, stay) = map(_counted, (whole, slim))
    return Units(before, after, stay)


def _counted(weights: Any) -> tuple[int, int]:
    """The hidden units of weights, and those that read nothing."""
    reads = [
        _reads(np.asarray(array))
        for path, array in jax.tree_util.tree_leaves_with_path(weights)
        if _is_hidden(jax.tree_util.keystr(path, simple=True, separator="/"), array)
    ]
    return sum(map(len, reads)), sum(int((~one).sum()) for one in reads)


def _is_hidden(name: str, array: Any) -> bool:
    kind, _, name = name.partition("/")
    return kind == "params" and is_kernel(name, array) and not is_head(name)


def _has_cut(array: Any) -> bool:
    return array.ndim > 1 and not _reads(np.asarray(array)).all()


def _reads(kernel: np.ndarray) -> np.ndarray:
    """Whether each unit of a kernel reads anything."""
    found: np.ndarray = np.any(kernel != 0, tuple(range(kernel.ndim - 1)))
    return found


def _cut(kept: Kept, pair: tuple[Any, np.ndarray]) -> np.ndarray:
    variable, array = pair
    for axis, places in enumerate(kept.of(variable)):
        array = array if places is None or places.all() else np.compress(places, array, axis)
    return array
