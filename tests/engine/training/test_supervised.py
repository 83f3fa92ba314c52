"""Supervised training against a plain loop in JAX and Optax, and linear models of scikit-learn."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from hpo.data.dataset import DataSet, Split
from hpo.engine.devices import local_devices
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.training.random_streams import batches
from hpo.engine.training.supervised import initial_lane, own_weights
from hpo.engine.training.task import task_of
from hpo.engine.training.weights import parted
from hpo.spec.experiment import Training
from tests.engine.samples import Learn, a_merged, a_training, tiny_data

_PLAIN = {"name": "mlp", "widths": [8], "activation": "tanh"}


def _weights(data: DataSet, training: Training, compiler: Compiler) -> dict[str, Any]:
    """The result of a training."""
    program, knobs = split(training, data, "cpu")
    pool = Pool(local_devices("cpu")[0], compiler)
    pool.load(program, Plans(Plan("map", 1)), data)
    pool.put(0, 0, training, knobs, None, training.train.epochs)
    while pool.has_work:
        pool.round()
    params, _ = own_weights(program, training, pool.take(0))
    return dict(params)


@pytest.mark.parametrize(
    "optimizer", [{"name": "adamw"}, {"name": "sgd", "momentum": 0.9}], ids=str
)
def test_accumulated_batches_are_one_step_on_the_joined_batch(
    compiler: Compiler, optimizer: dict[str, Any]
) -> None:
    data = tiny_data()
    leaves = {"model": _PLAIN, "optimizer": {"learning_rate": 0.05, **optimizer}}
    # 96 rows: an epoch is six batches of 16, joined two batches of 48.
    apart = a_training(**leaves, data__batch_size=16, updates={"accumulate": 3})
    joined = a_training(**leaves, data__batch_size=48)
    _assert_equal(_weights(data, apart, compiler), _weights(data, joined, compiler))


@pytest.mark.long
@pytest.mark.optimized  # what is in memory depends on how XLA compiles
def test_accumulated_batches_keep_the_activations_of_one_batch_at_a_time() -> None:
    data, model = tiny_data(), {"name": "mlp", "widths": [64] * 8}

    def needed(size: int, updates: dict[str, Any]) -> int:
        training = a_training(model=model, data__batch_size=size, updates=updates)
        pool = Pool(local_devices("cpu")[0], Compiler())
        pool.load(split(training, data, "cpu")[0], Plans(Plan("map", 1)), data)
        return pool._operations.peak_bytes

    activations = 4 * 2 * 8 * 64  # of a row: before and after the nonlinearity of each layer
    assert needed(48, {}) - needed(24, {}) >= 24 * activations
    # Two batches of 48 rows, four of 24: both update by 96 rows.
    halved = needed(48, {"accumulate": 2}) - needed(24, {"accumulate": 4})
    assert halved == pytest.approx(needed(48, {}) - needed(24, {}), rel=0.02)


def test_schedules_count_updates(compiler: Compiler) -> None:
    data, schedule = tiny_data(), {"name": "cosine", "warmup": 0.3}
    optimizer = {"name": "sgd", "learning_rate": 0.1, "schedule": schedule}
    apart = a_training(model=_PLAIN, optimizer=optimizer, updates={"accumulate": 3})
    joined = a_training(model=_PLAIN, optimizer=optimizer, data__batch_size=48)
    _assert_equal(_weights(data, apart, compiler), _weights(data, joined, compiler))


def _assert_equal(ours: Any, theirs: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), ours, theirs)


def _full_batch(**leaves: Any) -> Training:
    return a_training(
        model={"name": "mlp", "widths": [], "init": "zeros"},
        data__batch_size=96,
        train={"epochs": 800},
        **leaves,
    )


def test_a_linear_classifier_converges_to_scikit_learns_logistic_regression(
    compiler: Compiler,
) -> None:
    data, decay = tiny_data(), 0.05
    optimizer = {"name": "sgd", "learning_rate": 0.5, "momentum": 0.9, "weight_decay": decay}
    head = _weights(data, _full_batch(optimizer=optimizer), compiler)["head"]
    # Our decay applies to the bias too. In scikit-learn, that is the weight of a constant feature.
    x = np.hstack([data.train.x, np.ones((96, 1), np.float32)])
    model = LogisticRegression(C=1 / (96 * decay), fit_intercept=False, tol=1e-8, max_iter=10_000)
    model.fit(x, data.train.y)
    ours = np.vstack([head["kernel"], head["bias"]])
    np.testing.assert_allclose(ours, model.coef_.T, atol=1e-3)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_linear_regression_converges_to_scikit_learns_ridge(
    line: DataSet, compiler: Compiler, is_weighted: bool
) -> None:
    rng, decay = np.random.default_rng(3), 0.05
    x, weights = line.train.x, rng.uniform(0, 2, 96).astype(np.float32)
    weights /= weights.mean()
    y = (line.train.y + 0.3 * rng.standard_normal(96)).astype(np.float32)
    arrays = {"x": x, "y": y, **({"weight": weights} if is_weighted else {})}
    data = DataSet("regression", Split(arrays), line.validation, None, 1, "l")
    optimizer = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": decay}
    head = _weights(data, _full_batch(optimizer=optimizer), compiler)["head"]
    constant = np.hstack([x, np.ones((96, 1), np.float32)])
    model = Ridge(alpha=96 * decay / 2, fit_intercept=False)
    model.fit(constant, y, sample_weight=weights if is_weighted else None)
    np.testing.assert_allclose(
        np.append(head["kernel"][:, 0], head["bias"]), model.coef_, atol=1e-3
    )


def test_on_standardised_data_it_is_ridge_as_one_calls_it(
    line: DataSet, compiler: Compiler
) -> None:
    rng, decay = np.random.default_rng(3), 0.05
    x = StandardScaler().fit_transform(line.train.x).astype(np.float32)
    y = line.train.y + 0.3 * rng.standard_normal(96)
    y = ((y - y.mean()) / y.std()).astype(np.float32)
    data = DataSet("regression", Split({"x": x, "y": y}), line.validation, None, 1, "s")
    optimizer = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": decay}
    head = _weights(data, _full_batch(optimizer=optimizer), compiler)["head"]
    model = Ridge(alpha=96 * decay / 2).fit(x, y)
    np.testing.assert_allclose(head["kernel"][:, 0], model.coef_, atol=1e-3)
    np.testing.assert_allclose(head["bias"], model.intercept_, atol=1e-5)


def test_rows_of_weight_zero_have_no_effect(learn: Learn, line: DataSet) -> None:
    kept = Split({name: array[:48] for name, array in line.train.arrays.items()})
    other = Split({name: array[:48] for name, array in line.train.arrays.items()})
    weights = np.repeat(np.array([2.0, 0.0], np.float32), 48)
    spoilt = {**line.train.arrays, "y": np.append(line.train.y[:48], 50 * np.ones(48, np.float32))}
    data = DataSet("regression", Split({**spoilt, "weight": weights}), other, None, 1, "w")
    alone = DataSet("regression", kept, other, None, 1, "a")
    optimizer = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.0}
    leaves: dict[str, Any] = {"optimizer": optimizer, "model": _PLAIN}
    (whole,) = learn(data, [a_training(**leaves, data__batch_size=96)]).values()
    (half,) = learn(alone, [a_training(**leaves, data__batch_size=48)]).values()
    for ours, theirs in zip(whole, half, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


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


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_nearly_what_a_plain_loop_learns_in_float32(
    tiny: DataSet, learn: Learn, precision: str
) -> None:
    training = a_training(
        optimizer=_NESTEROV,
        model={"name": "mlp", "widths": [8]},
        train={"epochs": _EPOCHS, "precision": precision},
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


@pytest.mark.parametrize("size", [8, 16, 40])
def test_trials_of_every_batch_size_read_the_rows_in_the_same_order(size: int) -> None:
    training = a_merged(0, {"batch_size": [8, 16, 40]}, data__batch_size=size)
    task = task_of(split(training, tiny_data(), "cpu")[0])
    epoch = task.epoch(training)
    rows = task.feed(training, 2)["rows"]
    assert rows.shape == task.feed_shapes(is_chunked=False)["rows"].shape
    read = rows[: epoch.steps * epoch.parts].reshape(epoch.steps, size)
    np.testing.assert_array_equal(read, batches(0, 2, 96, size))


def test_the_progress_of_a_lane_is_its_whole_epochs_and_steps_of_the_next() -> None:
    training = a_training()  # six batches in an epoch
    task = task_of(split(training, tiny_data(), "cpu")[0])
    lane = task.initial(training)
    found = [task.progress(training, lane._replace(step=np.int32(n))) for n in (0, 5, 6, 13)]
    assert found == [(0, 0), (0, 5), (1, 0), (2, 1)]
