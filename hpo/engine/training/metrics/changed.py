"""Metrics of changed examples: their sums come after those of the task, where they are named."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hpo.data.dataset import Split
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch
from hpo.engine.training.forward import forward
from hpo.engine.training.targets.classification import all_hit, hit
from hpo.engine.training.techniques.attack import judged_attack
from hpo.registry import METRICS
from hpo.spec.experiment import Training


def changed_metrics(program: Program) -> tuple[str, ...]:
    """The metrics of changed examples that a program reports, in the order of their sums."""
    names = program.template.train.metrics
    return tuple(name for name in names if name in METRICS and METRICS[name].reads)


def changed_sums(
    program: Program, spec: Training, params: Any, variables: Any, batch: Batch
) -> Float[Array, " M"]:
    """The weighted sum over the rows of a batch for each of these metrics."""
    is_right = all_hit if program.task == "multilabel" else hit
    sums = []
    for _ in changed_metrics(program):
        changed = judged_attack(program, spec, params, variables, batch)
        outputs, _ = forward(program, spec.model, params, variables, changed)
        sums.append((is_right(outputs.astype(jnp.float32), batch["y"]) * batch["weight"]).sum())
    return jnp.stack(sums)


def means(names: tuple[str, ...], sums: np.ndarray, split: Split) -> dict[str, float]:
    """These metrics from their sums over the rows of a split."""
    weights = split.row_weight
    total = len(split) if weights is None else float(weights.sum(dtype=np.float64))
    return {name: float(each) / total for name, each in zip(names, sums, strict=True)}
