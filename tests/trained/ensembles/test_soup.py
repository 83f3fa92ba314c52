"""Soups of weights: Recipe 1 of Wortsman et al. 2022, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hpo.trained.ensembles.soup import greedy_soup, mean_weights


@pytest.mark.parametrize(
    ("models", "soup"),
    [
        ([3.0, -1.0, 5.0], [1, 0]),  # (3 - 1) / 2 is no worse than -1 alone; 5 makes it worse
        ([2.0, 2.0, -2.0], [0, 1, 2]),  # a model that changes nothing stays
        ([4.0, 1.0, np.nan], [1]),
        ([np.nan, np.nan], [0]),
    ],
)
def test_models_are_added_from_the_best_on_while_the_soup_gets_no_worse(
    models: list[float], soup: list[int]
) -> None:
    def loss_of(places: Sequence[int]) -> float:
        return abs(float(np.mean([models[place] for place in places])))

    assert greedy_soup(len(models), loss_of) == soup


def test_the_mean_of_weights_is_that_of_each_array_in_its_own_type() -> None:
    trees = [
        {"params": {"kernel": np.full((2, 3), value, np.float32)}, "variables": {}}
        for value in (1.0, 2.0, 4.5)
    ]
    found = mean_weights(trees)
    assert found["params"]["kernel"].dtype == np.float32
    np.testing.assert_allclose(found["params"]["kernel"], np.full((2, 3), 2.5))
    assert found["variables"] == {}
