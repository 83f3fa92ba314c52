"""The loss section of a spec: what training minimises, in place of the task's own loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from hpo.registry import LOSSES
from hpo.spec.marks import Knob, NonNegative, Positive, Share, Spec
from hpo.spec.registered import Registered

Quantile = Annotated[float, Field(gt=0, lt=1)]


class CrossEntropy(Spec):
    """Cross-entropy in nats: of the softmax of the outputs."""

    name: Literal["cross_entropy"]
    smoothing: Knob[Share] = 0.0
    """The share of each target that is spread evenly over all classes (label smoothing)."""


class Focal(Spec):
    """Cross-entropy that counts rows less the surer their class is (Lin et al. 2017)."""

    name: Literal["focal"]
    gamma: Knob[NonNegative] = 2.0
    """How much less sure rows count; 0 is the cross-entropy."""


class Mse(Spec):
    """The squared error of the standardised target."""

    name: Literal["mse"]


class Mae(Spec):
    """The absolute error of the standardised target."""

    name: Literal["mae"]


class Huber(Spec):
    """Half the squared error up to `delta`, and the absolute error beyond (Huber 1964)."""

    name: Literal["huber"]
    delta: Knob[Positive] = 1.0
    """The error, in standard deviations of the target, from which on it counts linearly."""


class Pinball(Spec):
    """The pinball loss, whose best prediction is a quantile (Koenker and Bassett 1978)."""

    name: Literal["pinball"]
    quantile: Knob[Quantile] = 0.5
    """The quantile of the target to predict."""


class Poisson(Spec):
    """The negative log-likelihood of a count whose log rate is the output, without log(y!)."""

    name: Literal["poisson"]


LossSpec = Annotated[Any, Registered("loss", others=(type(None),))]


def loss_mistakes(name: str, tasks: Sequence[str]) -> Iterator[str]:
    """What is wrong with a loss for data that are of one of these tasks."""
    if not {*tasks} & {*LOSSES[name].tasks}:
        known = [other for other, entry in LOSSES.items() if {*tasks} & {*entry.tasks}]
        yield f"{name} is not a loss of {' or '.join(tasks)}: write one of {', '.join(known)}"
