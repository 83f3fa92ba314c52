"""Targets that are masks: a class for each pixel of an image."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from hpo.data.dataset import DataSet, Split
from hpo.engine.training.targets.classification import logits_of, probabilities_of
from hpo.engine.training.targets.kind import Targets
from hpo.spec.sections.loss import CrossEntropy


def overlap(outputs: Float[Array, "B H W K"], y: Int[Array, "B H W"]) -> Float[Array, "B K"]:
    """The share of an image's pixels that have a class and are found to have it."""
    return (_masks(outputs.argmax(-1), outputs) * _masks(y, outputs)).mean((1, 2))


def found(outputs: Float[Array, "B H W K"], y: Int[Array, "B H W"]) -> Float[Array, "B K"]:
    """The share of an image's pixels that are found to have a class."""
    return _masks(outputs.argmax(-1), outputs).mean((1, 2))


def true(outputs: Float[Array, "B H W K"], y: Int[Array, "B H W"]) -> Float[Array, "B K"]:
    """The share of an image's pixels that have a class."""
    return _masks(y, outputs).mean((1, 2))


def _masks(
    classes: Int[Array, "B H W"], outputs: Float[Array, "B H W K"]
) -> Float[Array, "B H W K"]:
    return jax.nn.one_hot(classes, outputs.shape[-1])


def _segmentation(sums: list[float], total: float, split: Split, data: DataSet) -> dict[str, float]:
    both, found, true = np.array(sums[1:]).reshape(3, data.outputs)
    either = found + true - both
    # A class that is neither there nor found has no overlap to judge, as in scikit-learn.
    is_judged = found + true > 0
    return {
        "loss": sums[0] / total,
        "pixel_accuracy": float(both.sum() / total),
        "iou": float((both[is_judged] / either[is_judged]).mean()),
    }


SEGMENTATION = Targets(
    CrossEntropy(name="cross_entropy"),
    (overlap, found, true),
    _segmentation,
    probabilities_of,
    is_wide=True,
    outputs=logits_of,
)
