"""Whether a split by the persons or things of the rows leaves every class to train and to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from hpo.data.folds import group_folds
from hpo.data.overview.overview import Target
from hpo.data.split import SplitSizes, split_groups
from hpo.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

# The folds and the shares that `hpo init` writes.
FOLDS, SHARE = 5, 0.2


def judged_by_groups(
    frame: pd.DataFrame, name: str, target: Target
) -> Literal["folds", "split", ""]:
    """Whether whole groups can be in folds, in a single split, or in neither.

    Each training part needs every class, and each validation part two of them. It is tried with the
    groups as `data.split_seed: 0` draws them.
    """
    if not target.classes or len(target.names) > 1:
        return "folds"
    known = frame[frame[target.names[0]].notna()]
    labels, groups = known[target.names[0]].factorize()[0], known[name].factorize()[0]
    share = round(SHARE * len(labels))
    try:
        rows, _, _ = split_groups(SplitSizes(len(labels) - share, 0, share, 0), groups, 0)
        folds = group_folds(rows, groups[rows], FOLDS, 0)
        if all(_is_fit(labels[fold.train], labels[fold.validation]) for fold in folds):
            return "folds"
    except DataError:
        pass  # fewer groups than folds
    try:
        sizes = SplitSizes(len(labels) - 2 * share, share, share, 0)
        train, validation, _ = split_groups(sizes, groups, 0)
    except DataError:
        return ""
    return "split" if _is_fit(labels[train], labels[validation]) else ""


def _is_fit(train: np.ndarray, validation: np.ndarray) -> bool:
    """Whether a model can learn each class, and be judged by more than one."""
    classes = len(np.unique(validation))
    return classes > 1 and bool(np.isin(validation, train).all())
