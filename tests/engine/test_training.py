"""Training a lane, against a plain loop in JAX and Optax without lanes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.random_streams import batches
from hpo.engine.training.supervised import initial_lane
from hpo.engine.training.weights import parted
from hpo.spec.experiment import Training
from tests.engine.samples import Learn, a_training

_EPOCHS, _STEPS = 4, 6


def _forward(params: Any, x: Any) -> Any:
    hidden = jax.nn.relu(x @ params["linears"][0]["kernel"] + params["linears"][0]["bias"])
    return hidden @ params["head"]["kernel"] + params["head"]["bias"]


def _loss(params: Any, x: Any, y: Any) -> Any:
    log_odds = jax.nn.log_softmax(_forward(params, x))
    return -jnp.take_along_axis(log_odds, y[:, None], 1).mean()


def _plain_loop(
    data: DataSet, training: Training, optimizer: optax.GradientTransformation
) -> list[dict[str, float]]:
    """The curve of a plain training: one model, one optimizer, one step after the other."""
    program, _ = split(training, data, "cpu")
    params = parted(program, initial_lane(program, training).params)
    state, curve = optimizer.init(params), []

    @jax.jit
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(_loss)(params, x, y)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    for epoch in range(training.train.epochs):
        losses = []
        seed, size = training.train.seed, training.data.batch_size
        for rows in batches(seed, epoch, len(data.train), size):
            params, state, loss = step(params, state, data.train.x[rows], data.train.y[rows])
            losses.append(float(loss))
        x, y = data.validation.x, data.validation.y
        curve.append(
            {
                "loss": float(_loss(params, x, y)),
                "accuracy": float((_forward(params, x).argmax(1) == y).mean()),
                "train_loss": float(np.mean(losses)),
            }
        )
    return curve


_NESTEROV = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.8, "nesterov": True}
_OPTAX_NESTEROV = optax.sgd(0.1, momentum=0.8, nesterov=True)


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [
        (_NESTEROV, _OPTAX_NESTEROV),
        (
            {
                "name": "adamw",
                "learning_rate": 0.02,
                "weight_decay": 0.01,
                "clip_norm": 0.5,
                "schedule": {"name": "cosine", "final": 0.1},
            },
            optax.chain(
                optax.clip_by_global_norm(0.5),
                optax.adamw(
                    optax.cosine_decay_schedule(0.02, _EPOCHS * _STEPS, alpha=0.1),
                    weight_decay=0.01,
                ),
            ),
        ),
    ],
    ids=["nesterov", "adamw with a schedule"],
)
def test_a_lane_learns_what_a_plain_loop_learns(
    tiny: DataSet, learn: Learn, spec: dict[str, Any], theirs: optax.GradientTransformation
) -> None:
    trials = [
        a_training(
            stream,
            optimizer=spec,
            model={"name": "mlp", "widths": [8]},
            train={"epochs": _EPOCHS, "stream": stream, "seed": 3},
        )
        for stream in (1, 2)
    ]
    curves = learn(tiny, trials, lanes=2)
    for training in trials:
        expected = _plain_loop(tiny, training, theirs)
        for ours, plain in zip(curves[training.train.stream], expected, strict=True):
            assert ours == pytest.approx(plain, rel=1e-5)


def test_a_regression_learns_a_line_in_the_targets_own_unit(line: DataSet, learn: Learn) -> None:
    training = a_training(
        model={"name": "mlp", "widths": [16]},
        optimizer={"name": "adam", "learning_rate": 0.03},
        train={"epochs": 40},
    )
    last = learn(line, [training])[0][-1]
    # The standard deviation of the targets is about 2.
    assert last["rmse"] < 0.3
    assert last["mae"] < last["rmse"]
    assert last["r2"] > 0.97
    assert last["rmse"] == pytest.approx(line.target_std * last["loss"] ** 0.5)


def test_bfloat16_learns_nearly_what_a_plain_loop_learns_in_float32(
    tiny: DataSet, learn: Learn
) -> None:
    training = a_training(
        optimizer=_NESTEROV,
        model={"name": "mlp", "widths": [8]},
        train={"epochs": _EPOCHS, "precision": "bfloat16"},
    )
    exact = _plain_loop(tiny, training, _OPTAX_NESTEROV)
    for ours, plain in zip(learn(tiny, [training])[0], exact, strict=True):
        assert ours["loss"] != plain["loss"]
        assert ours["loss"] == pytest.approx(plain["loss"], rel=0.02)


def test_running_statistics_follow_the_batches(tiny: DataSet, compiler: Compiler) -> None:
    training = a_training(
        model={"name": "mlp", "widths": [4], "norm": "batch"},
        # The rate is too small to change the weights, so that all batches see the same weights.
        optimizer={"name": "sgd", "learning_rate": 1e-12},
        train={"epochs": 8},
    )
    pool = Pool(local_devices("cpu")[0], compiler)
    program, knobs = split(training, tiny, "cpu")
    pool.load(program, Plans(Plan("map", 1)), tiny)
    pool.put(0, 0, training, knobs, None, 8)
    start = pool.take(0)
    while pool.has_work:
        pool.round()

    after = pool.take(0).variables["norms"][0]
    z = tiny.train.x @ parted(program, start.params)["linears"][0]["kernel"]
    # The initial value keeps the weight 0.9 ** 48; the last batches weigh more than in a mean.
    np.testing.assert_allclose(after["mean"], z.mean(0), atol=0.2 * z.std())
    np.testing.assert_allclose(after["var"], z.var(0), rtol=0.2)
    assert not np.allclose(after["var"], start.variables["norms"][0]["var"], rtol=0.2)
