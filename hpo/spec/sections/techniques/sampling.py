"""The sampling section of a spec: which training rows an epoch reads, and how often."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Host, Positive, ReadWhere, Share, Spec, Static

_Part = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
# Ways whose rows are drawn by the loss that each had after the epoch before.
_BY_LOSS = ("importance", "curriculum")


class Sampling(Spec):
    """Which training rows an epoch reads; by default every row once, in random order."""

    name: Static[Literal["uniform", "stratified", "balanced", "importance", "curriculum"]] = (
        "uniform"
    )
    """`stratified`: every batch has the classes in their shares. `balanced`: every batch has all
    classes equally often, so rows of small classes come several times in an epoch. `importance`:
    rows of a large loss come more often, with weights that keep the gradient unbiased.
    `curriculum`: rows of a small loss come first."""
    temperature: Annotated[Host[Positive], ReadWhere("name", ("importance",))] = 1.0
    """Rows are drawn in proportion to their loss to the power of 1 / temperature."""
    start: Annotated[Host[_Part], ReadWhere("name", ("curriculum",))] = 0.3
    """The share of the rows, those of the smallest losses, with which a curriculum starts."""
    until: Annotated[Host[_Part], ReadWhere("name", ("curriculum",))] = 0.5
    """The share of the epochs after which a curriculum reads all rows."""
    share: Host[_Part] = 1.0
    """Train on this share of the training rows. A smaller share is a part of every larger one, and
    classes keep their shares; an epoch has fewer steps."""
    extra_share: Host[Share] = 0.0
    """Read this share of the rows of every batch from `data.extra`; an epoch has as many steps."""

    @property
    def keeps_losses(self) -> bool:
        """Whether it needs the loss of each row after the epoch before."""
        return self.name in _BY_LOSS
