"""The loss section of a spec: a function of a user's own in place of the task's loss."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.spec.code.own_function import OwnFunction

# The arguments that hpo gives a loss: the outputs, and the targets or the whole batch.
GIVEN = 2


class OwnLoss(OwnFunction):
    """A loss of your own: a function of outputs and targets that gives a value for each row.

    The function's other arguments are further keys.
    """

    static: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Numbers that stay Python numbers: each value of one is a program of its own."""
