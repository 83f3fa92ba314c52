"""Attacks on examples, against the worst case of a linear model in NumPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.models.dropout import mask_key
from hpo.engine.program import split
from hpo.engine.training.augmentation.draws import Draws
from hpo.engine.training.supervised import initial_lane, judged
from hpo.engine.training.techniques.attack import attacked, climbed
from hpo.spec.experiment import Training
from tests.engine.samples import Learn, a_training, tiny_data

_LINEAR = {"name": "mlp", "widths": []}


def _attacked(training: Training, data: DataSet, rows: slice) -> np.ndarray:
    """Training rows of a lane before its first step, attacked."""
    program, _ = split(training, data, "cpu")
    params, variables = judged(program, training, initial_lane(program, training))
    batch = {name: jnp.asarray(array[rows]) for name, array in data.train.arrays.items()}
    draws = Draws(mask_key(jnp.array([3, 4], jnp.uint32), jnp.int32(0)), len(batch["y"]))
    found = attacked(program, training, params, variables, batch, draws)
    return np.asarray(found["x"])


def test_the_worst_case_of_a_linear_margin_is_the_l1_norm_of_its_weights() -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(6)
    x, signs = rng.standard_normal((9, 6)), np.where(rng.random(9) < 0.5, -1.0, 1.0)

    def slope(x: Any) -> Any:
        return jax.grad(lambda x: jax.nn.softplus(-signs * (x @ weights)).sum())(x)

    for steps in (1, 4):
        found = climbed(slope, jnp.asarray(x), jnp.asarray(x), 0.3, steps)
        margins = signs * (np.asarray(found) @ weights)
        expected = signs * (x @ weights) - 0.3 * np.abs(weights).sum()
        np.testing.assert_allclose(margins, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_an_attack_on_a_linear_model_reaches_its_worst_case(name: str) -> None:
    data = tiny_data()
    training = a_training(model=_LINEAR, attack={"name": name, "epsilon": 0.2})
    program, _ = split(training, data, "cpu")
    params, _ = judged(program, training, initial_lane(program, training))
    kernel = np.asarray(jax.tree.leaves(params)[-1], np.float64)
    x, y = data.train.x[:5].astype(np.float64), data.train.y[:5]

    found = _attacked(training, data, slice(5))

    # The gradient of the cross-entropy is the mean of the classes' weights less those of the own.
    odds = np.exp(x @ kernel - (x @ kernel).max(1, keepdims=True))
    slope = (odds / odds.sum(1, keepdims=True) - np.eye(3)[y]) @ kernel.T
    if name == "fgsm":
        np.testing.assert_allclose(found, x + 0.2 * np.sign(slope), rtol=1e-5, atol=1e-6)
    assert np.abs(found - x).max() == pytest.approx(0.2, rel=1e-4)
    np.testing.assert_array_less(np.abs(found - x), 0.2 + 1e-6)


def test_an_attack_reads_no_other_row_of_a_batch() -> None:
    data = tiny_data()
    training = a_training(
        model={"name": "mlp", "widths": [8], "norm": "batch", "dropout": 0.5},
        attack={"epsilon": 0.3},
    )
    together = _attacked(training, data, slice(6))
    alone = [_attacked(training, data, slice(row, row + 1))[0] for row in range(6)]
    np.testing.assert_array_equal(together, np.stack(alone))
    assert not np.array_equal(together, data.train.x[:6])


def test_a_share_of_the_rows_is_attacked() -> None:
    data = tiny_data()
    changed = [
        (_attacked(a_training(model=_LINEAR, attack=attack), data, slice(96)) != data.train.x)
        .any(1)
        .mean()
        for attack in ({"epsilon": 0.1, "share": share} for share in (0.0, 0.5, 1.0))
    ]
    assert changed[0] == 0.0
    assert 0.3 < changed[1] < 0.7
    assert changed[2] == 1.0


def test_numbers_of_an_attack_vary_in_one_program_and_0_is_off(learn: Learn) -> None:
    data = tiny_data()
    numbers = ({"epsilon": 0.3, "steps": 2, "share": 0.5}, {"epsilon": 0.0, "steps": 3, "share": 1})
    trainings = [
        a_training(
            stream,
            attack={"name": "pgd", **own},
            train={"epochs": 2, "stream": stream, "varying": ["attack.epsilon", "attack.share"]},
        )
        for stream, own in enumerate(numbers)
    ]
    assert len({split(training, data, "cpu")[0] for training in trainings}) == 1
    together = learn(data, trainings, lanes=2)
    assert together[0] == learn(data, trainings[:1])[0]
    plain = a_training(1, train={"epochs": 2, "stream": 1})
    assert [epoch["loss"] for epoch in together[1]] == pytest.approx(
        [epoch["loss"] for epoch in learn(data, [plain])[1]], rel=1e-6
    )
