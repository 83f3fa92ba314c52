"""Random Fourier features: they approximate a kernel, and a running mean centres them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from sklearn.metrics.pairwise import rbf_kernel

from hpo.engine.models.abstract import abstract_model
from hpo.engine.models.dropout import Dropout
from hpo.engine.program import split
from hpo.engine.training.supervised import initial_lane, judged
from hpo.spec.experiment import Training
from tests.engine.samples import Learn, a_training, tiny_data

_DATA = tiny_data()


def _training(stream: int = 0, **leaves: Any) -> Training:
    model = {"name": "fourier", "features": 32, **leaves}
    return a_training(stream, model=model, optimizer={"name": "sgd", "learning_rate": 0.5})


def test_products_of_features_are_those_of_the_kernel() -> None:
    training = _training(features=20_000, bandwidth=2.0)
    program, _ = split(training, _DATA, "cpu")
    lane = initial_lane(program, training)
    x = _DATA.validation.x[:10]
    model = abstract_model(program)
    # With a head that is the identity, the outputs would be the features: read them before it.
    frequencies, phases = lane.variables["frequencies"], lane.variables["phases"]
    features = np.sqrt(2 / 20_000) * np.cos(x / 2.0 @ frequencies + phases)
    np.testing.assert_allclose(features @ features.T, rbf_kernel(x, gamma=1 / 8), atol=0.04)

    params, variables = judged(program, training, lane)
    params["head"]["kernel"] = np.random.default_rng(0).standard_normal((20_000, 3))
    outputs = nnx.merge(model.graph, params, variables)(
        jnp.asarray(x), training.model, train=False, dropout=Dropout(0, None)
    )
    np.testing.assert_allclose(outputs, features @ params["head"]["kernel"], atol=1e-3)


def test_each_trial_draws_its_own_features_and_does_not_train_them(learn: Learn) -> None:
    programs = [split(_training(stream), _DATA, "cpu")[0] for stream in (0, 1)]
    assert programs[0] == programs[1]
    first, second = (
        initial_lane(programs[0], _training(stream)).variables["frequencies"] for stream in (0, 1)
    )
    assert not np.array_equal(first, second)
    assert programs[0].template.model.bandwidth == float("inf")  # a number, compiled into nothing


def test_training_updates_the_running_mean(compiler: Any) -> None:
    from hpo.engine.devices import local_devices
    from hpo.engine.pools.pool import Pool
    from hpo.engine.programs.plans import Plan, Plans

    training = _training()
    program, knobs = split(training, _DATA, "cpu")
    pool = Pool(local_devices("cpu")[0], compiler)
    pool.load(program, Plans(Plan("map", 1)), _DATA)
    pool.put(0, 0, training, knobs, None, 4)
    while pool.has_work:
        pool.round()
    lane, start = pool.take(0), initial_lane(program, training)
    np.testing.assert_array_equal(lane.variables["frequencies"], start.variables["frequencies"])
    waves = np.cos(_DATA.train.x / 3.0 @ lane.variables["frequencies"] + lane.variables["phases"])
    mean = np.sqrt(2 / 32) * waves.mean(0)
    # After 24 steps of a tenth, the initial zeros weigh less than a tenth.
    np.testing.assert_allclose(lane.variables["centre"], mean, atol=0.04)


def test_a_suitable_bandwidth_learns_the_classes(learn: Learn) -> None:
    curves = learn(_DATA, [_training(0, bandwidth=1.5), _training(1, bandwidth=100.0)], lanes=2)
    assert curves[0][-1]["accuracy"] > 0.75
    assert curves[0][-1]["loss"] < curves[1][-1]["loss"]


def test_batches_of_several_sizes_are_not_cut_into_parts() -> None:
    training = _training()
    merged = {"batch_size": [8, 16]}
    training = Training.model_validate(
        {**training.model_dump(exclude={"train"}), "train": {"epochs": 4, "merged": merged}}
    )
    program, _ = split(training, _DATA, "cpu")
    assert program.merged == ()
    assert program.micro_batch == 16


@pytest.mark.parametrize("features", [8, 64])
def test_its_size_for_estimates_is_counted_from_its_arrays(features: int) -> None:
    from hpo.engine.models.sizes import model_size

    size = model_size(_training(features=features).model, (5,), 3)
    assert size == (3 * features + 3, 3 * features, 0)
