"""The answers of a model as named columns: classes and chances, or values in the target's unit."""

from __future__ import annotations

import numpy as np

from hpo.engine.training.metrics.temperature import tempered
from hpo.trained.description import Description

MASK = "y"  # the class of each pixel, as the masks of training data are named
_ALONE = "prediction"  # the name of the answers for targets that have none


def answer_names(description: Description) -> tuple[str, ...]:
    """The columns of answers: the targets, or a name for those that have none."""
    return description.features.targets or tuple(
        _ALONE if description.outputs == 1 or description.classes else f"{_ALONE}_{place}"
        for place in range(1 if description.classes else description.outputs)
    )


def answer_columns(
    predictions: np.ndarray,
    description: Description,
    thresholds: np.ndarray | None,
    temperature: float = 1.0,
) -> dict[str, np.ndarray]:
    """A column for each target, and one with the chance of each class or label; or masks.

    `thresholds` are the chances above which the second of two classes, or each label, is found.
    The temperature changes the chances of classes that are told, and no class that is found.
    """
    if description.task == "segmentation":
        found = np.array([*map(int, description.classes)], np.int32)[predictions.argmax(-1)]
        return {MASK: found}
    names = answer_names(description)
    if description.classes:
        classes = np.array(description.classes, object)
        found = predictions.argmax(-1)
        if thresholds is not None and predictions.shape[-1] == 2:
            found = (predictions[:, 1] > thresholds[0]).astype(int)
        calibrated = tempered(predictions, temperature)
        chances = {
            f"{names[0]}_{name}": calibrated[:, place]
            for place, name in enumerate(description.classes)
        }
        return {names[0]: classes[found], **chances}
    if description.task == "multilabel":
        least = 0.5 if thresholds is None else thresholds
        found = (predictions > least).astype(int)
        labels = {name: found[:, place] for place, name in enumerate(names)}
        chances = {f"{name}_chance": predictions[:, place] for place, name in enumerate(names)}
        return labels | chances
    return {name: predictions[:, place] for place, name in enumerate(names)}
