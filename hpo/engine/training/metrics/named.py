"""Metrics that a program computes only where they are named, from sums after those of its task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from hpo.data.corruptions import CORRUPTED, OWN_TARGETS, OWN_WEIGHTS
from hpo.data.dataset import Split
from hpo.engine.models.abstract import is_kernel, model_alone
from hpo.engine.models.activations.sparse import measured, zeros
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch
from hpo.engine.training.compression.connections import FREE
from hpo.engine.training.compression.sparsity import connections_of
from hpo.engine.training.forward import forward
from hpo.engine.training.lane import Lane
from hpo.engine.training.targets.classification import all_hit, hit
from hpo.engine.training.techniques.accounting import epsilon, step_divergences
from hpo.engine.training.techniques.attack import judged_attack
from hpo.engine.training.techniques.layers import mapped
from hpo.engine.training.weights import joined, parted
from hpo.spec.experiment import Training


class Judged(NamedTuple):
    """A lane that is evaluated: its numbers, and the weights and variables that are judged."""

    program: Program
    spec: Training
    lane: Lane
    params: Any
    variables: Any


class Named(NamedTuple):
    """A metric: numbers of each row of a batch `[B, width]`, and its value from their means."""

    width: int
    rows: Callable[[Judged, Batch], Float[Array, "B W"]]
    value: Callable[[Program, np.ndarray], float]


def _robust(judged: Judged, batch: Batch) -> Float[Array, "B 1"]:
    program, spec, _, params, variables = judged
    return _hits(judged, judged_attack(program, spec, params, variables, batch))


def _corrupted(judged: Judged, batch: Batch) -> Float[Array, "B 1"]:
    if OWN_TARGETS not in batch:
        return _hits(judged, {**batch, "x": batch[CORRUPTED]})

    def weighed(rows: tuple[Array, ...]) -> Float[Array, "B 1"]:
        x, y, weight = rows
        return _hits(judged, {**batch, "x": x, "y": y}) * weight[:, None]

    # One after another, because a row of the batch may have very many.
    arrays = (batch[name] for name in (CORRUPTED, OWN_TARGETS, OWN_WEIGHTS))
    each = tuple(jnp.moveaxis(array, 1, 0) for array in arrays)
    found: Float[Array, "B 1"] = lax.map(weighed, each).sum(0)
    return found


def _hits(judged: Judged, batch: Batch) -> Float[Array, "B 1"]:
    program, spec, _, params, variables = judged
    outputs, _ = forward(program, spec, params, variables, batch)
    is_right = all_hit if program.task == "multilabel" else hit
    return is_right(outputs.astype(jnp.float32), batch["y"])[:, None]


def _mean(_: Program, means: np.ndarray) -> float:
    return float(means[0])


def _spent(judged: Judged, batch: Batch) -> Float[Array, "B 2"]:
    noise: Any = judged.spec.privacy.noise
    own = jnp.stack([noise, judged.lane.step.astype(jnp.float32)])
    return jnp.broadcast_to(own, (len(batch["y"]), 2))


def _epsilon(program: Program, means: np.ndarray) -> float:
    noise, steps = float(means[0]), round(float(means[1]))
    template = program.template
    # Float32 sums round the noise, and divergences of each other value would be computed again.
    rate, noise = template.data.step_rows / program.train_rows, float(f"{noise:.5g}")
    return epsilon(steps * step_divergences(rate, noise), template.privacy.delta)


def _nonzero(judged: Judged, batch: Batch) -> Float[Array, "B 2"]:
    # Weights that pad a narrower model are 0, too.
    return _of_all_rows(batch, (joined(model_alone(judged.params)) != 0).sum())


def _zeros(judged: Judged, batch: Batch) -> Float[Array, "B 4"]:
    connections = connections_of(judged.lane)
    assert connections is not None, "the lanes of a program that reports zeros have them"
    tree = parted(judged.program, connections)

    def may_be_cut(name: str, connections: Array) -> Array:
        # Biases are cut beside their units, but never counted.
        return (connections != FREE) & is_kernel(name, connections)

    counted = joined(mapped(may_be_cut, tree))
    zeros = (counted & (joined(judged.params) == 0)).sum()
    return _of_all_rows(batch, zeros, counted.sum())


def _quiet(judged: Judged, batch: Batch) -> Float[Array, "B 1"]:
    program, spec, _, params, variables = judged
    with measured(zeros, "train.metrics: activation_sparsity") as found:
        forward(program, spec, params, variables, batch)
    count: Any = sum(one.zeros for one in found)
    return (count / sum(one.units for one in found))[:, None]


def _of_all_rows(batch: Batch, *counts: Any) -> Float[Array, "B W"]:
    """Each count in two parts, so that sums over rows in float32 do not round it."""
    parts = [part for count in counts for part in (count // _PART, count % _PART)]
    own = jnp.stack(parts).astype(jnp.float32)
    return jnp.broadcast_to(own, (len(batch["y"]), len(parts)))


def _count(means: np.ndarray) -> int:
    return _PART * round(float(means[0])) + round(float(means[1]))


_PART = 4096


def _count_of_nonzero(_: Program, means: np.ndarray) -> float:
    return float(_count(means))


def _share_of_zeros(_: Program, means: np.ndarray) -> float:
    return _count(means[:2]) / max(1, _count(means[2:]))


NAMED = {
    "activation_sparsity": Named(1, _quiet, _mean),
    "corrupted_accuracy": Named(1, _corrupted, _mean),
    "epsilon": Named(2, _spent, _epsilon),
    "nonzero": Named(2, _nonzero, _count_of_nonzero),
    "robust_accuracy": Named(1, _robust, _mean),
    "sparsity": Named(4, _zeros, _share_of_zeros),
}


def named_metrics(program: Program) -> tuple[str, ...]:
    """The metrics of this kind that a program reports, in the order of their sums."""
    names = program.template.train.metrics
    return tuple(name for name in names if name in NAMED)


def named_width(program: Program) -> int:
    """The number of their sums."""
    return sum(NAMED[name].width for name in named_metrics(program))


def named_sums(judged: Judged, batch: Batch) -> Float[Array, " M"]:
    """The weighted sums over the rows of a batch for each of these metrics."""
    rows = [NAMED[name].rows(judged, batch) for name in named_metrics(judged.program)]
    return (jnp.concatenate(rows, axis=1) * batch["weight"][:, None]).sum(0)


def named_values(program: Program, sums: np.ndarray, split: Split) -> dict[str, float]:
    """These metrics from their sums over the rows of a split."""
    weights = split.row_weight
    total = len(split) if weights is None else float(weights.sum(dtype=np.float64))
    found, start = {}, 0
    for name in named_metrics(program):
        metric = NAMED[name]
        found[name] = metric.value(program, sums[start : start + metric.width] / total)
        start += metric.width
    return found
