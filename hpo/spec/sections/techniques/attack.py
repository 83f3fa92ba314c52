"""The attack section of a spec: the worst small changes of examples, in training and to judge."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Knob, NonNegative, Positive, ReadWhere, Spec, Static

_Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Attack(Spec):
    """Changes of each number of an example, by up to `epsilon`, that raise its loss the most.

    Training learns from the changed examples; not at all by default.
    """

    name: Static[Literal["fgsm", "pgd"]] = "fgsm"
    """`fgsm`: one step along the signs of the gradient. `pgd`: several smaller steps from a random
    start."""
    epsilon: Knob[NonNegative] = 0.0
    """The largest change of a number in training, as scaled."""
    steps: Annotated[Knob[Count | None], ReadWhere("name", ("pgd",))] = None
    """The steps of `pgd`, each a gradient; 7 if left out."""
    share: Knob[_Probability | None] = None
    """The share of the training rows that are attacked; all if left out."""
    judge_epsilon: Positive | None = None
    """The largest change of a number in `robust_accuracy`, the same for all trials."""
    judge_steps: Count = 10
    """The steps of `pgd`, from the example itself, in `robust_accuracy`."""
