"""The privacy section of a spec: training that keeps a single row from showing in the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from hpo.spec.marks import Knob, Positive, Spec

_Chance = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class Privacy(Spec):
    """Clipped gradients of single rows and noise (DP-SGD), which bound what weights tell of a row.

    Off by default; it needs both `clip` and `noise`.
    """

    clip: Knob[Positive | None] = None
    """Clip the gradient of each row to this Euclidean norm."""
    noise: Knob[Positive | None] = None
    """The standard deviation of the noise added to the sum of a batch, in units of `clip`."""
    delta: _Chance = 1.0e-5
    """The chance with which the bound `epsilon` may fail; well below 1 / rows."""

    @property
    def is_on(self) -> bool:
        """Whether a training is private."""
        return self.clip is not None and self.noise is not None


def privacy_mistakes(privacy: Privacy) -> Iterator[tuple[tuple[str, ...], str]]:
    """The half of a privacy that is missing, as (key path, sentence)."""
    for leaf, other in (("clip", "noise"), ("noise", "clip")):
        if getattr(privacy, leaf) is None and getattr(privacy, other) is not None:
            yield ("privacy", leaf), f"is missing beside {other}: write both, or neither"
