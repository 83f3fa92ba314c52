"""A teacher that answers within a training step, for the rows as augmentation has changed them.

Source: Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent"
(arXiv:2106.05237), Section 3.1: both models see the same changed images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hpo.engine.program import Program
from hpo.engine.training.batches import Batch
from hpo.engine.training.compression.distillation import ANSWERS, reads_answers
from hpo.engine.training.forward import forward
from hpo.spec.experiment import Training
from hpo.spec.sections.compression.teacher import Teacher
from hpo.spec.sections.data import Task


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Network:
    """One of the networks whose mean is a teacher's answer; its arrays are inputs of a program.

    `scale` are a factor and an offset that turn a student's features into those of the network;
    None where they are the same. `share` is its part of the mean. All arrays may have an axis of
    folds, see `of_fold`. `features` are the units of its last activation; 0 where none is compared.
    """

    weights: Any
    scale: tuple[Any, Any] | None
    share: Any
    program: Program = field(metadata={"static": True})
    training: Training = field(metadata={"static": True})
    features: int = field(default=0, metadata={"static": True})

    def outputs(self, program: Program, x: Float[Array, "B ..."]) -> Float[Array, "B ... K"]:
        """Its outputs for features of a student, whose program this is."""
        own = replace(self.program, platform=program.platform)
        state = self.weights["params"], self.weights["variables"]
        seen = x if self.scale is None else x * self.scale[0] + self.scale[1]
        return forward(own, self.training, *state, {"x": seen})[0].astype(jnp.float32)


def of_fold(networks: Sequence[Network], feed: Batch) -> Sequence[Network]:
    """The networks of a lane's fold, whose number its feed has; without folds, all of them."""
    if "fold" not in feed:
        return networks
    found: Sequence[Network] = jax.tree.map(lambda array: array[feed["fold"]], networks)
    return found


def answered(
    program: Program, networks: Sequence[Network], teacher: Teacher, batch: Batch
) -> Batch:
    """A batch with the outputs of a teacher for it, where there is one and the loss reads them."""
    if not networks or ANSWERS in batch or not reads_answers(teacher):
        return batch
    return {**batch, ANSWERS: answers_of(program, networks, batch["x"])}


def answers_of(
    program: Program, networks: Sequence[Network], x: Float[Array, "B ..."]
) -> Float[Array, "B ... K"]:
    """The outputs of a teacher for features of its student, whose program this is."""
    found = [one.outputs(program, x) for one in networks]
    if len(found) == 1:
        return found[0]
    return mean_answer(program.task, jnp.stack(found), shares_of(networks))


def shares_of(networks: Sequence[Network]) -> Float[Array, " M"]:
    """The parts of the networks in the mean."""
    return jnp.stack([jnp.asarray(one.share, jnp.float32) for one in networks])


def mean_answer(
    task: Task, outputs: Float[Array, "M B ... K"], shares: Float[Array, " M"]
) -> Float[Array, "B ... K"]:
    """The outputs that give the mean prediction of several networks with these shares."""
    logs = jnp.log(shares).reshape(-1, *[1] * (outputs.ndim - 1))
    if task == "regression":
        return (jnp.exp(logs) * outputs).sum(0)
    if task == "counts":  # logarithms of rates, whose mean is that of the counts
        return jax.nn.logsumexp(logs + outputs, axis=0)
    if task == "multilabel":
        yes, no = (
            jax.nn.logsumexp(logs + jax.nn.log_sigmoid(sign * outputs), axis=0) for sign in (1, -1)
        )
        return yes - no
    return jax.nn.logsumexp(logs + jax.nn.log_softmax(outputs), axis=0)


def scale_between(
    own: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The factor and the offset from features scaled in one way to the same in another way.

    Each way is an offset that was subtracted and a divisor, in float64.
    """
    (offset, divisor), (offset_, divisor_) = own, other
    scale = divisor / divisor_, (offset - offset_) / divisor_
    return scale[0].astype(np.float32), scale[1].astype(np.float32)
