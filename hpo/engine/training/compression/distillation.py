"""Distillation: the loss of a model that learns the answers of another one, its teacher.

Source: Hinton et al. 2015, "Distilling the knowledge in a neural network" (arXiv:1503.02531),
Section 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hpo.engine.program import is_off
from hpo.spec.sections.compression.teacher import TEMPERATURE, WEIGHT, Teacher
from hpo.spec.sections.data import Task

# The array of the training rows that has the teacher's outputs for them.
ANSWERS = "teacher"
# The array of a batch that has the distance of each row from the teacher's features.
HINTS = "hints"


class Taught(NamedTuple):
    """A loss, a part of which compares with a teacher's answers; `hard` is that of the targets."""

    hard: Any
    teacher: Teacher
    task: Task

    @property
    def part(self) -> Any:
        """The teacher's part of the loss."""
        return WEIGHT if self.teacher.weight is None else self.teacher.weight

    @property
    def temperature(self) -> Any:
        """The number that divides the outputs of both."""
        return TEMPERATURE if self.teacher.temperature is None else self.teacher.temperature


def taught(hard: Any, teacher: Teacher, task: Task) -> Any:
    """What a training minimises: a loss, or a part of it and what compares with a teacher."""
    return Taught(hard, teacher, task) if is_taught(teacher) else hard


def is_taught(teacher: Teacher) -> bool:
    """Whether the loss of a training compares with a teacher."""
    return getattr(teacher, "from") is not None and not is_off(teacher.weight)


def reads_answers(teacher: Teacher) -> bool:
    """Whether the loss of a training compares with the outputs of a teacher."""
    return is_taught(teacher) and teacher.match != "features"


def soft_rows(
    outputs: Float[Array, "B ... K"], answers: Float[Array, "B ... K"], temperature: Any
) -> Float[Array, "B ..."]:
    """How far the classes of a model are from those of its teacher, in nats.

    That is the divergence of the softmax of its outputs over the temperature from that of the
    teacher's, times the square of the temperature, so that gradients keep their size.
    """
    own = jax.nn.log_softmax(outputs / temperature)
    other = jax.nn.log_softmax(answers / temperature)
    return jnp.square(temperature) * (jnp.exp(other) * (other - own)).sum(-1)


def soft_labels(
    outputs: Float[Array, "B K"], answers: Float[Array, "B K"], temperature: Any
) -> Float[Array, " B"]:
    """The same for labels, each with its sigmoid; the mean over them."""
    own, other = ((x / temperature)[..., None] * jnp.array([0.0, 1.0]) for x in (outputs, answers))
    return soft_rows(own, other, 1.0).mean(-1) * jnp.square(temperature)
