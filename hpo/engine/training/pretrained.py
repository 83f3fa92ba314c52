"""First weights from a trained model: `model.from`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from hpo.engine.models.abstract import STEPS
from hpo.errors import HpoError


@dataclass(frozen=True, eq=False)
class Start:
    """The weights of a trained model; a trial's training holds it in place of the folder's name.

    `runs` are the arrays of each run of that model, by path, such as `params/head/kernel`. A run
    has the name of its files: `fold-0`, `seed-1` or both, and the only one is `""`. `where` names
    the folder in messages. `keeps_head` says whether the classes of that model are those of the
    trial.
    """

    where: str
    runs: Mapping[str, Mapping[str, np.ndarray]]
    keeps_head: bool

    def arrays_of(self, seed: int, fold: int) -> Mapping[str, np.ndarray]:
        """The arrays from which a run starts: those of its own fold and seed, or of the only run.

        Raises:
            HpoError: for a model of several runs that has none of that seed.
        """
        for name in (f"seed-{seed}-fold-{fold}", f"fold-{fold}", f"seed-{seed}", ""):
            if name in self.runs:
                return self.runs[name]
        names = [*self.runs]
        raise HpoError(
            f"{self.where} holds the weights of several runs ({', '.join(names[:3])}"
            f"{', ...' if names[3:] else ''}), and none is of seed {seed}: give these seeds, or a "
            "folder of one run."
        )


def started(
    start: Start, arrays: Mapping[str, np.ndarray], drawn: Mapping[str, Any], outputs: int
) -> Any:
    """`{"params": ..., "variables": ...}` as drawn, with the arrays of a trained model in place.

    Where a layer is a product of two arrays here, and is not there or has another rank, it gets
    those of the closest matrix of its rank. Where it is a product there alone, it gets the product.

    The ranges of what layers read stay as drawn where the trained model has none, and are left out
    where this one has none. Steps between levels are left out, because they follow from weights.

    The head stays as drawn where its classes differ: in number, or because `start` says so. It is
    the layer `head`. In a model of a user's own, it is each array whose last axis is the outputs
    and has another length in the trained model.

    Raises:
        HpoError: for a model of other layers or sizes.
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path(drawn)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    arrays = _with_ranges(_of_rank(start, arrays, named), named)
    for name in sorted({*named} ^ {*arrays}):
        has, lacks = ("this model", "that") if name in named else ("that", "this model")
        shape = list((named if name in named else arrays)[name].shape)
        raise HpoError(
            f"{start.where}: {has} has {_short(name)} of the shape {shape}, and {lacks} has none: "
            "name a folder of the same model, with the same layers."
        )
    return jax.tree.unflatten(
        tree, [_one(start, name, arrays[name], leaf, outputs) for name, leaf in named.items()]
    )


def _of_rank(
    start: Start, arrays: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Trained arrays, with the factors of those layers that are products of two among `drawn`."""
    found = dict(arrays)
    for name in arrays:
        layer, is_factor, _ = name.partition(_LEFT)
        left, right = layer + _LEFT, layer + _RIGHT
        # Products of another rank are multiplied. A layer may be whole here.
        if is_factor and right in found and not _are_alike(drawn.get(left), found[left]):
            one, other = found.pop(left), found.pop(right)
            found[layer + _KERNEL] = (_matrix(one) @ _matrix(other)).reshape(
                *one.shape[:-1], other.shape[-1]
            )
            if f"{layer}/right{_BIAS}" in found:
                found[layer + _BIAS] = found.pop(f"{layer}/right{_BIAS}")
    for name in drawn:
        layer, is_factor, _ = name.partition(_LEFT)
        if is_factor and layer + _KERNEL in found:
            left, right = layer + _LEFT, layer + _RIGHT
            kernel = found.pop(layer + _KERNEL)
            whole = (*drawn[left].shape[:-1], drawn[right].shape[-1])
            if kernel.shape != whole:
                raise _misfit(start, layer + _KERNEL, kernel.shape, whole)
            pair = factors(_matrix(kernel), drawn[left].shape[-1])
            found[left] = pair[0].reshape(*kernel.shape[:-1], -1)
            found[right] = pair[1].reshape(*drawn[right].shape[:-1], -1)
            if layer + _BIAS in found:
                found[f"{layer}/right{_BIAS}"] = found.pop(layer + _BIAS)
    return found


def _matrix(kernel: np.ndarray) -> np.ndarray:
    """A kernel with all that a unit reads along one axis, `[inputs, outputs]`."""
    return kernel.reshape(-1, kernel.shape[-1])


def _are_alike(drawn: np.ndarray | None, trained: np.ndarray) -> bool:
    """Whether both are the first factors of products of one rank."""
    return drawn is not None and drawn.shape[-1] == trained.shape[-1]


def _with_ranges(
    arrays: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Trained arrays with the ranges that are drawn, and with no others and no steps."""
    found = {name: leaf for name, leaf in drawn.items() if _RANGE.search(name)}
    for name, array in arrays.items():
        is_unread = _RANGE.search(name) or name.startswith(f"params/{STEPS}/")
        if name in drawn or not is_unread:
            found[name] = array
    return found


def factors(kernel: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays whose product is the matrix of that rank closest to a kernel, by its SVD.

    Each has the square roots of the singular values, so that both learn alike. A rank above that
    of the kernel adds zeros.

    Source: Eckart and Young 1936, "The approximation of one matrix by another of lower rank".
    """
    u, values, v = np.linalg.svd(kernel.astype(np.float64), full_matrices=False)
    count = min(rank, len(values))
    roots = np.sqrt(values[:count])
    left, right = np.zeros((len(u), rank)), np.zeros((rank, v.shape[1]))
    left[:, :count], right[:count] = u[:, :count] * roots, roots[:, None] * v[:count]
    return left.astype(np.float32), right.astype(np.float32)


# The ends of the range of what a layer reads, or what decides its trained step.
_RANGE = re.compile(r"^variables/.*(dot_general|rounder)/(low|high|step|least|bits)$")
_KERNEL, _BIAS, _LEFT, _RIGHT = "/kernel", "/bias", "/left/kernel", "/right/kernel"


def _one(
    start: Start, name: str, trained: np.ndarray, drawn: np.ndarray, outputs: int
) -> np.ndarray:
    """The array of that name: the trained one, or for a new head the one drawn."""
    is_head = name.startswith("params/head/")
    if trained.shape == drawn.shape:
        return drawn if is_head and not start.keeps_head else trained.astype(drawn.dtype)
    if drawn.shape[:-1] == trained.shape[:-1] and drawn.shape[-1:] == (outputs,):
        return drawn
    raise _misfit(start, name, trained.shape, drawn.shape)


def _misfit(start: Start, name: str, there: tuple[int, ...], here: tuple[int, ...]) -> HpoError:
    return HpoError(
        f"{start.where}: {_short(name)} has the shape {list(there)} there and {list(here)} in this "
        "model: name a folder of the same model, with the same sizes."
    )


def _short(name: str) -> str:
    return name.partition("/")[2]
