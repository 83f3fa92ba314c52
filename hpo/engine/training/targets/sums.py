"""The loss of a batch, and the sums over rows from which each kind of target makes its metrics.

On the device, a kind computes values for each row, which are weighted and summed. On the host, it
computes named metrics from these sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hpo import registry
from hpo.data.dataset import DataSet, Split
from hpo.engine.models.abstract import Members
from hpo.engine.program import Program
from hpo.engine.training.batches import Batch
from hpo.engine.training.compression.distillation import (
    ANSWERS,
    HINTS,
    Taught,
    reads_answers,
    soft_labels,
    soft_rows,
)
from hpo.engine.training.own_functions import own_rows
from hpo.engine.training.targets.classification import CLASSIFICATION, MULTILABEL
from hpo.engine.training.targets.counts import COUNTS
from hpo.engine.training.targets.kind import Targets
from hpo.engine.training.targets.language import LANGUAGE
from hpo.engine.training.targets.regression import REGRESSION, SEVERAL
from hpo.engine.training.targets.segmentation import SEGMENTATION
from hpo.errors import HpoError
from hpo.spec.code.own_functions import OwnLoss
from hpo.spec.sections.data import Task as Kind
from hpo.spec.sections.loss import loss_mistakes

TARGETS: dict[str, Targets] = {
    "classification": CLASSIFICATION,
    "regression": REGRESSION,
    "counts": COUNTS,
    "multilabel": MULTILABEL,
    "segmentation": SEGMENTATION,
    "language": LANGUAGE,
}


def targets_of(kind: Kind, outputs: int) -> Targets:
    """How targets of a kind are trained and judged, where a row has this many outputs."""
    return SEVERAL if kind == "regression" and outputs > 1 else TARGETS[kind]


def sum_count(kind: Kind, outputs: int, loss: Any) -> int:
    """The number of sums from which `metrics` computes."""
    targets = targets_of(kind, outputs)
    return 1 + len(targets.rows) * (outputs if targets.is_wide else 1) + (loss is not None)


def batch_loss(
    kind: Kind, outputs: Float[Array, "B ... K"] | Members, batch: Batch, loss: Any
) -> Float[Array, ""]:
    """The mean loss of a batch; the weights of all training rows have the mean 1.

    Of a model with members, each has its own loss, and their mean is the batch's.
    """
    if isinstance(outputs, Members):

        def of_one(one: Float[Array, "B K"]) -> Float[Array, ""]:
            return batch_loss(kind, one, batch, loss)

        return jax.vmap(of_one, in_axes=1)(outputs.outputs).mean()
    if "partner" in batch:
        return _with_partners(partial(batch_loss, kind, outputs, loss=loss), batch)
    outputs = outputs.astype(jnp.float32)
    own = targets_of(kind, outputs.shape[-1]).loss
    losses = loss_rows(own if loss is None else loss, outputs, batch)
    if "weight" not in batch:
        return losses.mean()
    weight = batch["weight"]  # of rows, or of their positions
    if weight.ndim > losses.ndim:
        weight = _of_rows(weight)
    return (losses * weight.reshape(*weight.shape, *[1] * (losses.ndim - weight.ndim))).mean()


def metric_sums(
    kind: Kind, outputs: Float[Array, "B ... K"], batch: Batch, loss: Any
) -> Float[Array, " M"]:
    """Weighted sums over the rows of a batch: the loss, and the kind's other values.

    The sum of a loss that the spec names comes last.
    """
    outputs, y, weights = outputs.astype(jnp.float32), batch["y"], _of_rows(batch["weight"])
    targets = targets_of(kind, outputs.shape[-1])
    # A padding row's loss may be NaN in a diverged lane only, where the sum is NaN anyway.
    losses = _of_rows(loss_rows(targets.loss, outputs, batch))
    values = [losses, *(of(outputs, y) for of in targets.rows)]
    sums = [one for each in values for one in _sums(each, weights)]
    if loss is not None:
        # Padding rows are zeros, which a loss of the user's own need not know.
        losses = _of_rows(loss_rows(loss, outputs, batch))
        sums.append(jnp.where(weights > 0, losses * weights, 0).sum())
    return jnp.stack(sums)


def row_losses(
    kind: Kind, outputs: Float[Array, "B ... K"], batch: Batch, loss: Any
) -> Float[Array, " B"]:
    """The loss of each row without its weight: the one of the spec, or else of the kind."""
    if "partner" in batch:
        return _with_partners(partial(row_losses, kind, outputs, loss=loss), batch)
    outputs = outputs.astype(jnp.float32)
    own = targets_of(kind, outputs.shape[-1]).loss
    return _of_rows(loss_rows(own if loss is None else loss, outputs, batch))


def _with_partners(loss_of: Callable[[Batch], Array], batch: Batch) -> Array:
    """The loss of rows that are mixed with others, whose own losses have a `share` of it."""
    own = {name: array for name, array in batch.items() if name not in ("partner", "share")}
    share = batch["share"]
    return (1 - share) * loss_of(own) + share * loss_of({**own, **batch["partner"]})


def _of_rows(values: Array) -> Array:
    """The values of rows, each the mean over its positions if it has several."""
    return values if values.ndim == 1 else values.reshape(values.shape[0], -1).mean(-1)


def _sums(values: Array, weights: Array) -> Sequence[Array]:
    """The weighted sum of the values of rows, for each target if there are several."""
    if values.ndim == 1:
        return [(values * weights).sum()]
    return [*(values * weights[:, None]).sum(0)]


def metrics(data: DataSet, split: Split, sums: np.ndarray, loss: Any) -> dict[str, float]:
    """Named metrics from the sums over a split, in the target's own unit."""
    weights = split.row_weight
    total = len(split) if weights is None else float(weights.sum(dtype=np.float64))
    named = [float(each) for each in sums]
    own = {} if loss is None else {"loss": named.pop() / total}
    return targets_of(data.task, data.outputs).metrics(named, total, split, data) | own


def joined(kind: Kind, members: Members) -> Float[Array, "B K"]:
    """The outputs that give the mean prediction of a model's members, in their precision."""
    join = targets_of(kind, members.outputs.shape[-1]).joined
    assert join is not None, "a model with members gives one answer for a row"
    return join(members.outputs.astype(jnp.float32)).astype(members.outputs.dtype)


def check_loss(program: Program) -> None:
    """Refuse a loss of hpo that is for another task than that of the data.

    Raises:
        HpoError: if it is.
    """
    loss = program.template.loss
    if loss is not None and not isinstance(loss, OwnLoss):
        for text in loss_mistakes(loss.name, (program.task,)):
            raise HpoError(f"loss.name: {text}.")


def loss_rows(loss: Any, outputs: Float[Array, "B ... K"], batch: Batch) -> Float[Array, "B ..."]:
    """The values of a loss, by its spec, for the rows of a batch without their weights.

    Where every position of a row has a class, they are those of the positions.

    Raises:
        CodeError: for an error of the user's own code.
        HpoError: for a result of the user's own loss that is no value for each row.
    """
    if isinstance(loss, Taught):
        return _taught_rows(loss, outputs, batch)
    if isinstance(loss, OwnLoss):
        return own_rows(loss, outputs, batch)
    rows: Array = registry.function("loss", loss.name)(loss, outputs, batch["y"])
    return rows


def _taught_rows(
    loss: Taught, outputs: Float[Array, "B ... K"], batch: Batch
) -> Float[Array, "B ..."]:
    """The values of a loss that has a teacher: of answers, of features or of both."""
    hard = loss_rows(loss.hard, outputs, batch)
    if not reads_answers(loss.teacher):
        return (1 - loss.part) * hard + loss.part * _hints(batch, hard)
    soft = _soft(loss, outputs, batch)
    soft = soft + _hints(batch, hard) if HINTS in batch else soft
    return (1 - loss.part) * hard + loss.part * soft


def _hints(batch: Batch, losses: Float[Array, "B ..."]) -> Float[Array, "B ..."]:
    """How far each row is from the features of a teacher, beside these losses."""
    hints: Array = batch[HINTS]
    return hints.reshape(-1, *[1] * (losses.ndim - 1))


def _soft(loss: Taught, outputs: Float[Array, "B ... K"], batch: Batch) -> Float[Array, "B ..."]:
    """How far outputs are from a teacher's; those of values are compared by the loss itself."""
    answers, y = batch[ANSWERS], batch["y"]
    if loss.task == "counts":  # the loss compares counts with the logarithm of their mean
        answers = jnp.exp(answers)
    if loss.task in ("regression", "counts"):
        return loss_rows(loss.hard, outputs, {**batch, "y": answers.reshape(y.shape)})
    if loss.task == "multilabel":
        return soft_labels(outputs, answers, loss.temperature)
    return soft_rows(outputs, answers, loss.temperature)
