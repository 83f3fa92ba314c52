"""The mean prediction of several trained models, such as those of the folds of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.program import Program
from hpo.engine.training.batches import host_rows
from hpo.engine.training.forward import forward
from hpo.engine.training.metrics.scored import scored_metrics
from hpo.engine.training.targets.sums import metric_sums, metrics, targets_of
from hpo.spec.experiment import Training


def mean_on_test(
    program: Program,
    training: Training,
    weights: Sequence[Mapping[str, Any]],
    members: Sequence[DataSet],
    data: DataSet,
) -> dict[str, float] | None:
    """The metrics of the members' mean prediction on the test rows; None without such rows.

    `weights` are those of each member, `members` the data set that it trained on. A member predicts
    from features of its own transform. Probabilities and values are averaged, not outputs.
    """
    test, kind = data.test, targets_of(data.task, data.outputs)
    if test is None or kind.outputs is None:
        return None
    own = program.of_its_own(training)

    @jax.jit
    def outputs_of(weights: Any, batch: Any) -> Any:
        state = weights["params"], weights["variables"]
        return forward(own, training.model, *state, batch)[0].astype(jnp.float32)

    total: Any = 0.0
    for one, member in zip(weights, members, strict=True):
        assert member.test is not None, "all folds have the same test rows"
        outputs = _outputs(lambda batch, one=one: outputs_of(one, batch), member.test)
        total = total + kind.predictions(outputs.astype(np.float64), member)
    outputs = kind.outputs(total / len(weights), data)
    batch = {"weight": np.ones(len(test), np.float32), **test.arrays}
    sums = jax.device_get(metric_sums(data.task, jnp.asarray(outputs), batch, training.loss))
    scored = scored_metrics(training.train.metrics, data, test, outputs, training.own_metrics)
    return metrics(data, test, sums, training.loss) | scored


def _outputs(outputs_of: Any, split: Split) -> np.ndarray:
    """The outputs of a model for all rows of a split, `[N, K]`."""
    rows = host_rows(split)
    parts = [jax.device_get(outputs_of({"x": rows["x"][part]})) for part in range(len(rows["x"]))]
    return np.concatenate(parts)[: len(split)]
