"""A soup: the mean of the weights of models that started from the same ones.

Source: Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time" (arXiv:2203.05482), Recipe 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np


def greedy_soup(count: int, loss_of: Callable[[Sequence[int]], float]) -> list[int]:
    """The places of the models in the greedy soup, in the order in which they are added.

    `loss_of` gives the loss of the soup of some of `count` models, which is best if smallest. The
    models are tried from the best one on, the first one of a tie, and stay if the soup is not worse
    with them.
    """
    alone = np.nan_to_num([loss_of([place]) for place in range(count)], nan=np.inf)
    best, *others = np.argsort(alone, kind="stable").tolist()
    soup, least = [best], alone[best]
    for place in others:
        loss = loss_of([*soup, place])
        if loss <= least:  # never of a loss that is no number
            soup, least = [*soup, place], loss
    return soup


def mean_weights(trees: Sequence[Any]) -> Any:
    """The mean of each array of some trees of weights, in the type of the first one's."""

    def mean(*leaves: Any) -> np.ndarray:
        found: np.ndarray = np.mean([np.asarray(leaf, np.float64) for leaf in leaves], axis=0)
        return found.astype(np.asarray(leaves[0]).dtype)

    return jax.tree.map(mean, *trees)
