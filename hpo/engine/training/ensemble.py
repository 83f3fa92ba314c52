"""The answers of trained models: of one, or the mean of several, such as those of folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpo.data.dataset import DataSet, Split
from hpo.engine.program import Program
from hpo.engine.training.batches import evaluation_parts, host_rows
from hpo.engine.training.compression.inputs import with_added
from hpo.engine.training.forward import forward
from hpo.engine.training.lane import Lane
from hpo.engine.training.metrics.scored import scored_metrics
from hpo.engine.training.metrics.thresholds import decided_metrics
from hpo.engine.training.random_streams import lane_key
from hpo.engine.training.supervised import Supervised
from hpo.engine.training.targets.kind import Targets
from hpo.engine.training.targets.sums import metric_sums, metrics, targets_of
from hpo.engine.training.weights import joined
from hpo.spec.experiment import Training
from hpo.spec.marks import with_leaves

# Parts of rows that are evaluated in one call: no more, nor those that take more bytes.
_PARTS_AT_ONCE, _BYTES_AT_ONCE = 64, 1 << 28
_OF_TRAINING = ("epsilon", "corrupted_accuracy", "sparsity")


def answering(program: Program, training: Training) -> Callable[[Any, Any], Any]:
    """The compiled function from a model's weights and a batch of examples to its outputs."""
    own = program.of_its_own(training)

    @jax.jit
    def outputs_of(weights: Any, x: Any) -> Any:
        state = weights["params"], weights["variables"]
        return forward(own, training, *state, {"x": x})[0].astype(jnp.float32)

    return outputs_of


def metrics_on(
    program: Program,
    training: Training,
    weights: Mapping[str, Any],
    data: DataSet,
    split: Split,
    thresholds: np.ndarray | None = None,
) -> dict[str, float]:
    """The metrics of one model on rows, evaluated in the chunks of a training.

    Without those of the training itself: its privacy budget, its sparsity and the accuracy on
    corrupted copies.
    """
    names = tuple(name for name in training.train.metrics if name not in _OF_TRAINING)
    program = program.of_its_own(training)  # whose arrays the weights have
    program = replace(program, template=with_leaves(program.template, {"train.metrics": names}))
    task, seed = Supervised(program), training.train.seed
    lane = Lane(
        joined(with_added(program, weights["params"])),
        weights["variables"],
        optimizer=None,
        key=lane_key(seed, training.train.stream),
        step=np.zeros((), np.int32),
        loss_sum=np.zeros((), np.float32),
    )
    evaluate = jax.jit(partial(task.evaluate_as, training))
    sums: Any = np.zeros(task.sums, np.float32)
    scores, parts = [], evaluation_parts(len(split))
    part_bytes = sum(array.nbytes for array in host_rows(split, 0, 1).values())
    at_once = max(1, min(_PARTS_AT_ONCE, _BYTES_AT_ONCE // part_bytes))
    # Parts are added in order, so that pieces of them give the sums of the whole to the bit.
    for start in range(0, parts, at_once):
        rows = host_rows(split, start, min(at_once, parts - start))
        tally = jax.device_get(evaluate(lane, rows, sums))
        sums = tally.sums
        scores += [] if tally.scores is None else [tally.scores]
    found = np.concatenate(scores) if scores else None
    return task.metrics(data, split, sums, found, thresholds)


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
    if data.test is None:
        return None
    # All folds have the same test rows.
    tests = [one.test for one in members if one.test is not None]
    found = mean_predictions(program, training, weights, members, tests)
    return metrics_of(found, training, data, data.test)


def mean_predictions(
    program: Program,
    training: Training,
    weights: Sequence[Mapping[str, Any]],
    members: Sequence[DataSet],
    splits: Sequence[Split],
) -> np.ndarray:
    """The mean prediction of members for the same rows, as each has them in a split of its own.

    They are probabilities, or values in the targets' units, float64 `[N, ..., K]`.
    """
    kind = targets_of(program.task, program.outputs)
    return _mean(kind, answering(program, training), weights, members, splits)


def _mean(
    kind: Targets,
    outputs_of: Callable[[Any, Any], Any],
    weights: Sequence[Mapping[str, Any]],
    members: Sequence[DataSet],
    splits: Sequence[Split],
) -> np.ndarray:
    """The mean prediction by a compiled function from weights and features to outputs."""
    total: Any = 0.0
    for one, member, split in zip(weights, members, splits, strict=True):
        outputs = _outputs(lambda batch, one=one: outputs_of(one, batch["x"]), split)
        total = total + kind.predictions(outputs.astype(np.float64), member)
    found: np.ndarray = total / len(weights)
    return found


def mean_on_validation(
    program: Program, training: Training, weights: Sequence[Mapping[str, Any]], data: DataSet
) -> np.ndarray:
    """The mean prediction of a trial's runs for the validation rows, as `mean_predictions` gives.

    `weights` are those of the runs: seed by seed, and of each its folds in order. With folds, the
    rows of one stand after those of the other, answered by the runs that have not trained on them.
    """
    kind, outputs_of = targets_of(program.task, program.outputs), answering(program, training)
    found, folds = [], data.members
    for place, fold in enumerate(folds):
        own = weights[place :: len(folds)]
        members, splits = [fold] * len(own), [fold.validation] * len(own)
        found.append(_mean(kind, outputs_of, own, members, splits))
    return np.concatenate(found)


def metrics_of(
    predictions: np.ndarray,
    training: Training,
    data: DataSet,
    split: Split,
    thresholds: np.ndarray | None = None,
) -> dict[str, float]:
    """The metrics of predictions for the rows of a split.

    Two classes, or labels, are decided by `thresholds` where there are some.
    """
    outputs = targets_of(data.task, data.outputs).outputs(predictions, data)
    batch = {"weight": np.ones(len(split), np.float32), **split.arrays}
    sums = jax.device_get(metric_sums(data.task, jnp.asarray(outputs), batch, training.loss))
    scored = scored_metrics(training.train.metrics, data, split, outputs, training.own_metrics)
    found = metrics(data, split, sums, training.loss) | scored
    if thresholds is None:
        return found
    return found | decided_metrics(training.train.metrics, data, split, outputs, thresholds)


def _outputs(outputs_of: Any, split: Split) -> np.ndarray:
    """The outputs of a model for all rows of a split, `[N, K]`."""
    rows = host_rows(split)
    parts = [jax.device_get(outputs_of({"x": rows["x"][part]})) for part in range(len(rows["x"]))]
    return np.concatenate(parts)[: len(split)]
