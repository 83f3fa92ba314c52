"""The sampling section of a spec: which training rows an epoch reads, and how often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Host, Spec, Static

# Ways whose rows are drawn by the class of each.
_BY_CLASS = ("balanced", "stratified")


class Sampling(Spec):
    """Which training rows an epoch reads; by default every row once, in random order."""

    name: Static[Literal["uniform", "stratified", "balanced"]] = "uniform"
    """`stratified`: every batch has the classes in their shares. `balanced`: every batch has all
    classes equally often, so rows of small classes come several times in an epoch."""
    share: Host[Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]] = 1.0
    """Train on this share of the training rows. A smaller share is a part of every larger one, and
    classes keep their shares; an epoch has fewer steps."""


def sampling_mistakes(sampling: Sampling, tasks: Sequence[str]) -> Iterator[str]:
    """What is wrong with a way to draw rows for data that are of one of these tasks."""
    if sampling.name in _BY_CLASS and "classification" not in tasks:
        named = " or ".join(tasks)
        yield f"{sampling.name} needs one class for each row, and the task is {named}: remove it"
