"""A trained model without the units that are cut: `mlp` and `cnn` with smaller arrays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpo.engine.models.layers import activated
from hpo.engine.program import split
from hpo.engine.training.compression.packing import leaves
from hpo.spec.marks import with_leaves
from hpo.spec.sections.models.images import Cnn
from hpo.spec.sections.models.tables import Mlp
from hpo.trained.model import Model
from hpo.trained.packed import with_arrays

Arrays = dict[str, np.ndarray]


class _Layer(NamedTuple):
    """A hidden layer by the names of its arrays and of those of its norm, if it has one."""

    name: str
    norm: str = ""
    is_conv: bool = False


def slimmed(model: Model) -> Model:
    """A model that answers the same up to rounding, without units that always answer the same.

    Such a unit reads nothing, as those that `compression.sparsity.unit` cuts. What it answers goes
    into the next bias. Another model than a chain of layers is given back as it is. So is one of
    several members, and one with layers of low rank or of groups, or with layer norms. Nor do
    units go where the others of their layer decide how they are rounded or kept.
    """
    layers, answers = _chain(model.training.model), model.training.compression.activations
    if not layers or len(model.members) != 1 or answers.bits or answers.top:
        return model
    member = model.members[0]
    arrays = {name: np.asarray(one) for name, one in leaves(jax.device_get(member.weights))}
    kept = []
    for layer, after in itertools.pairwise([*layers, _Layer("head")]):
        kept.append(_cut(model.training.model, arrays, layer, after))
    training = with_leaves(model.training, _sizes(model.training.model, kept))
    program, _ = split(training, member.data, model.program.platform)
    weights = with_arrays(member.weights, arrays)
    return replace(
        model,
        training=training,
        program=program,
        members=(member._replace(weights=weights),),
    )


def units_of(model: Model) -> int:
    """How many hidden units and filters a model has, if it is one that may lose some."""
    kernels = dict(leaves(model.members[0].weights))
    names = (f"params/{layer.name}/kernel" for layer in _chain(model.training.model))
    return sum(int(kernels[name].shape[-1]) for name in names)


def _chain(spec: Any) -> list[_Layer]:
    """The hidden layers of a model, each of which reads the one before; none for another model."""
    if not isinstance(spec, Mlp | Cnn) or not isinstance(spec.activation, str):
        return []
    if spec.norm == "layer":  # counts all units of a layer
        return []
    has_norm = spec.norm == "batch"
    if isinstance(spec, Mlp):
        count = 0 if spec.rank is not None else len(spec.widths)
        return [_Layer(f"linears/{i}", f"norms/{i}" if has_norm else "") for i in range(count)]
    if spec.groups != 1 or spec.rank is not None:
        return []
    convs = [
        _Layer(f"convs/{i}", f"norms/{i}" if has_norm else "", is_conv=True)
        for i in range(len(spec.filters))
    ]
    dense = spec.dense if isinstance(spec.dense, tuple) else (spec.dense,)
    return [*convs, *(_Layer("dense" if i == 0 else f"further/{i - 1}") for i in range(len(dense)))]


def _sizes(spec: Any, kept: Sequence[int]) -> dict[str, Any]:
    """The leaves of a model's spec that say how many units its layers have."""
    if isinstance(spec, Mlp):
        return {"model.widths": tuple(kept), "model.depth": None, "model.width": None}
    count = len(spec.filters)
    return {"model.filters": tuple(kept[:count]), "model.dense": tuple(kept[count:])}


def _cut(spec: Any, arrays: Arrays, layer: _Layer, after: _Layer) -> int:
    """Remove the units of a layer that may go, from the arrays of both; how many are left."""
    constants = _constants(spec, arrays, layer)
    folds = not layer.is_conv and f"params/{after.name}/bias" in arrays
    goes = np.isfinite(constants) if folds else constants == 0
    if goes.all():
        goes[0] = False
    stays = ~goes
    kernel = arrays[f"params/{after.name}/kernel"]
    if folds:
        bias = arrays[f"params/{after.name}/bias"]
        added = constants[goes].astype(np.float64) @ kernel[goes]
        arrays[f"params/{after.name}/bias"] = (bias + added).astype(bias.dtype)
    # The channels of an image, and so of its pixels in a row, are last.
    axis = -2
    if layer.is_conv and not after.is_conv:
        pixels = kernel.reshape(-1, len(stays), kernel.shape[-1])
        kernel = pixels[:, stays].reshape(-1, kernel.shape[-1])
    else:
        kernel = np.compress(stays, kernel, axis)
    arrays[f"params/{after.name}/kernel"] = kernel
    for name in [name for name in arrays if _is_of(name, layer)]:
        arrays[name] = arrays[name][..., stays]
    return int(stays.sum())


def _is_of(name: str, layer: _Layer) -> bool:
    return name.split("/", 1)[1].rpartition("/")[0] in (layer.name, layer.norm)


def _constants(spec: Any, arrays: Arrays, layer: _Layer) -> np.ndarray:
    """What each unit of a layer answers, whatever it reads; NaN where that depends on it."""
    kernel = arrays[f"params/{layer.name}/kernel"]
    reads: np.ndarray = np.any(kernel != 0, axis=tuple(range(kernel.ndim - 1)))
    value = arrays.get(f"params/{layer.name}/bias", np.zeros(len(reads), np.float32))
    if layer.norm:
        reads = arrays[f"params/{layer.norm}/scale"] != 0
        value = arrays[f"params/{layer.norm}/bias"]
    answers = np.asarray(activated(spec, jnp.asarray(value), len(reads)))
    return np.where(reads, np.nan, answers)
