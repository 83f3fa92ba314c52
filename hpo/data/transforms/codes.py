"""Categories as codes, for the learned vectors of a model: `encode: embed`.

The code of a category is its place in sorted order among those of the training rows, from 1 on. An
empty cell and a new category have the code 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hpo.spec.sections.columns import Treatment


def fit_codes(categories: np.ndarray, treatments: Sequence[Treatment]) -> dict[str, np.ndarray]:
    """The columns that become codes, and the sorted categories of their training rows.

    `code_known` holds the categories of one column after those of another, which starts at its
    `code_start`. A column without any category has codes too, so that folds have equal columns.
    """
    columns = [
        column
        for column, one in enumerate(treatments)
        if one.type != "text" and one.encode == "embed"
    ]
    if not columns:
        return {}
    known = [np.unique(categories[:, column]) for column in columns]
    known = [codes[codes >= 0] for codes in known]
    return {
        "code_column": np.array(columns, np.int32),
        "code_known": np.concatenate(known).astype(np.int32),
        "code_start": np.cumsum([0, *map(len, known)]),
    }


def code_features(arrays: Mapping[str, np.ndarray], categories: np.ndarray) -> np.ndarray:
    """The codes of categories whose empty cells are -1, float32 `[N, columns]`.

    Float32 holds every whole number up to 16,777,216.
    """
    starts, found = arrays["code_start"], []
    for place, column in enumerate(arrays["code_column"]):
        # Empty cells are below every category, so that the place of 0 is theirs.
        known = np.concatenate([[-1], arrays["code_known"][starts[place] : starts[place + 1]]])
        index = np.minimum(np.searchsorted(known, categories[:, column]), len(known) - 1)
        found.append(np.where(known[index] == categories[:, column], index, 0))
    return np.column_stack(found).astype(np.float32)


def code_counts(arrays: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """The number of codes of each of these columns, 0 included; none without such columns."""
    return tuple((np.diff(arrays["code_start"]) + 1).tolist()) if "code_start" in arrays else ()
