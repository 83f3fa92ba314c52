"""Greedy shares, compared with the words of the paper and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from hpo.trained.ensembles.greedy import greedy_shares


def test_models_that_are_right_in_turn_share_and_a_useless_one_has_none() -> None:
    left, right = np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([[0.5, 0.5], [0.1, 0.9]])
    useless = np.array([[0.2, 0.8], [0.8, 0.2]])

    def loss(mean: np.ndarray) -> float:
        return log_loss([0, 1], mean)

    found = greedy_shares([left, useless, right], loss)
    assert found.tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_those_of_selection_with_replacement(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 40)
    models = [rng.dirichlet(np.ones(3) + 2 * np.eye(3)[label], 1)[0] for label in y for _ in "abcd"]
    models = np.array(models).reshape(40, 4, 3).transpose(1, 0, 2)
    # As the paper says it: a bag of models, to which the best of all is added again and again.
    bags: list[list[int]] = [[]]
    for _ in range(12):
        bags.append(
            min(
                ([*bags[-1], one] for one in range(4)),
                key=lambda bag: log_loss(y, np.mean(models[bag], axis=0)),
            )
        )
    best = min(bags[1:], key=lambda bag: log_loss(y, np.mean(models[bag], axis=0)))
    expected = np.bincount(best, minlength=4) / len(best)
    found = greedy_shares([*models], lambda mean: log_loss(y, mean), rounds=12)
    np.testing.assert_allclose(found, expected)
    alone = [log_loss(y, one) for one in models]
    assert log_loss(y, np.tensordot(found, models, axes=1)) <= min(alone)


def test_losses_that_are_no_numbers_leave_the_first_model() -> None:
    assert greedy_shares([np.ones(2), np.ones(2)], lambda _: np.nan).tolist() == [1, 0]
