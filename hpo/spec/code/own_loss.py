"""The loss section of a spec: a function of a user's own in place of the task's loss."""

from __future__ import annotations

from typing import ClassVar

from hpo.spec.code.own_code import CompiledCode


class OwnLoss(CompiledCode):
    """A loss of your own: a function of outputs and targets that gives a value for each row.

    The function's other arguments are further keys.
    """

    placed: ClassVar[int] = 2  # the outputs, and the targets or the whole batch
