"""Averages of weights and look-ahead, against Optax, NumPy and the steps one by one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.techniques import check_techniques
from hpo.engine.training.batches import host_data
from hpo.engine.training.lane import Lane, lane_from_arrays, lane_to_arrays
from hpo.engine.training.supervised import judged, own_weights
from hpo.engine.training.task import task_of
from hpo.engine.training.techniques.averages import followed
from hpo.engine.training.weights import joined
from hpo.errors import DeviceError
from hpo.spec.experiment import Training
from tests.engine.samples import Learn, a_merged, a_training, unmerged

_STEPS, _EPOCHS = 3, 4
_PATH = np.random.default_rng(5).standard_normal((_STEPS * _EPOCHS, 6)).cumsum(0).astype(np.float32)


def _training(average: dict[str, Any], updates: dict[str, Any] | None = None) -> Training:
    return a_training(train={"epochs": _EPOCHS, "average": average}, updates=updates or {})


def _after_each_step(training: Training) -> list[Any]:
    """The average after each step of a lane whose weights go along the path."""
    zero = jnp.zeros(())
    copies: Any = {"average": jnp.asarray(_PATH[0] * 0 + 9)}
    found = []
    for number, weights in enumerate(_PATH, start=1):
        lane = Lane(jnp.asarray(weights), {}, (), zero, jnp.asarray(number), zero, copies)
        copies = followed(training, lane, _STEPS).copies
        found.append(np.asarray(copies["average"]))
    return found


def test_a_moving_average_is_that_of_optax_without_bias() -> None:
    theirs = optax.ema(0.8, debias=True)
    state = theirs.init(jnp.zeros(6))
    for found, weights in zip(
        _after_each_step(_training({"name": "ema", "decay": 0.8})), _PATH, strict=True
    ):
        expected, state = theirs.update(jnp.asarray(weights), state)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_decay_near_one_is_the_plain_mean_at_first() -> None:
    found = _after_each_step(_training({"name": "ema", "decay": 0.99999}))
    np.testing.assert_allclose(found[-1], _PATH.mean(0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("start", "first"), [(None, 0), (0.5, 6)])
def test_polyak_is_the_mean_of_the_weights_since_its_start(start: Any, first: int) -> None:
    found = _after_each_step(_training({"name": "polyak", "start": start}))
    for number in range(1, len(_PATH) + 1):
        kept = _PATH[first:number] if number > first else _PATH[number - 1 : number]
        np.testing.assert_allclose(found[number - 1], kept.mean(0), rtol=1e-4, atol=1e-5)


def test_swa_is_the_mean_of_the_weights_at_the_ends_of_the_last_epochs() -> None:
    found = _after_each_step(_training({"name": "swa", "start": 0.5}))
    np.testing.assert_array_equal(found[5], _PATH[5])
    np.testing.assert_array_equal(found[8], _PATH[8])
    np.testing.assert_array_equal(found[10], found[8])
    np.testing.assert_allclose(found[11], (_PATH[8] + _PATH[11]) / 2, rtol=1e-5)
    usual = _after_each_step(_training({"name": "swa"}))
    np.testing.assert_array_equal(usual[11], _PATH[11])


def test_only_updates_move_an_average_while_batches_are_accumulated() -> None:
    found = _after_each_step(_training({"name": "polyak"}, {"accumulate": 2}))
    np.testing.assert_array_equal(found[2], found[1])
    np.testing.assert_allclose(found[5], _PATH[[1, 3, 5]].mean(0), rtol=1e-5)


def test_look_ahead_is_that_of_optax() -> None:
    curvature = np.array([3.0, 1.0, 0.5, 2.0], np.float32)
    start = jnp.array([1.0, -2.0, 3.0, 0.5])
    theirs = optax.lookahead(optax.sgd(0.05, momentum=0.9), 3, 0.7)
    params: Any = optax.LookaheadParams.init_synced(start)
    state: Any = theirs.init(params)
    rule, zero = optax.sgd(0.05, momentum=0.9), jnp.zeros(())
    lane = Lane(start, {}, rule.init(start), zero, zero, zero, {"slow": start})
    training = a_training(updates={"lookahead": 3, "lookahead_share": 0.7})
    for step in range(1, 9):
        moved, state = theirs.update(curvature * (params.fast - 1), state, params)
        params = optax.apply_updates(params, moved)
        ours, memory = rule.update(curvature * (lane.params - 1), lane.optimizer)
        lane = lane._replace(params=lane.params + ours, optimizer=memory, step=jnp.asarray(step))
        lane = followed(training, lane, _STEPS)
        np.testing.assert_allclose(lane.params, params.fast, rtol=1e-5)
        assert lane.copies is not None
        np.testing.assert_allclose(lane.copies["slow"], params.slow, rtol=1e-5)


def _trained(data: DataSet, training: Training, steps: int = 1) -> tuple[Any, list[Lane]]:
    """The task of a training and its lanes after each call of `steps` steps of an epoch."""
    program, knobs = split(training, data, "cpu")
    task = task_of(program)
    train, lane = jax.jit(task.train), task.initial(training)
    lanes = []
    for _ in range(task.epoch(training).steps // steps):
        lane = train(knobs, lane, host_data(data, is_whole=False), task.feed(training, 0), steps)
        lanes.append(jax.device_get(lane))
    return task, lanes


def test_a_schedule_free_optimizer_is_judged_by_the_average_of_optax(tiny: DataSet) -> None:
    model = {"name": "mlp", "widths": [8], "norm": "batch", "dropout": 0.0}
    optimizer = {"name": "schedule_free", "learning_rate": 0.05}
    training = a_training(model=model, optimizer=optimizer, updates={"freeze": ["head/bias"]})
    task, lanes = _trained(tiny, training)
    inner = [part for part in lanes[-1].optimizer if hasattr(part, "z")]
    expected = optax.contrib.schedule_free_eval_params(inner[0], lanes[-1].params)
    copies = lanes[-1].copies
    assert copies is not None
    np.testing.assert_allclose(copies["average"], expected, rtol=1e-4, atol=1e-6)
    assert np.abs(copies["average"] - lanes[-1].params).max() > 1e-3
    start = own_weights(task.program, training, task.initial(training))[0]
    saved = own_weights(task.program, training, lanes[-1])[0]
    np.testing.assert_allclose(joined(saved), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(saved["head"]["bias"], start["head"]["bias"])
    mean, last = (lanes[-1].copies["variables"], lanes[-1].variables)
    assert (mean["norms"][0]["mean"] != last["norms"][0]["mean"]).any()
    with pytest.raises(DeviceError, match="schedule_free needs all training rows"):
        check_techniques(task.program, is_streamed=True)


def test_the_average_is_evaluated_and_saved(tiny: DataSet) -> None:
    training = a_training(train={"epochs": 2, "average": {"name": "polyak"}})
    task, lanes = _trained(tiny, training)
    mean = np.mean([lane.params for lane in lanes], 0)
    saved, _ = own_weights(task.program, training, lanes[-1])
    np.testing.assert_allclose(joined(saved), mean, rtol=1e-4, atol=1e-6)
    _, knobs = split(training, tiny, "cpu")
    rows = jax.tree.map(
        lambda a: jnp.asarray(a)[None],
        {**tiny.validation.arrays, "weight": np.ones(40, np.float32)},
    )
    plain = lanes[-1]._replace(params=jnp.asarray(mean), copies=None)
    found, expected = (task.evaluate(knobs, lane, rows).sums for lane in (lanes[-1], plain))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    last = task.evaluate(knobs, lanes[-1]._replace(copies=None), rows).sums
    assert np.abs(found - last).max() > 1e-3


def test_the_statistics_of_an_average_are_those_of_all_batches_of_the_epoch(tiny: DataSet) -> None:
    model = {"name": "mlp", "widths": [8], "norm": "batch", "dropout": 0.5}
    training = a_training(model=model, train={"epochs": 2, "average": {"name": "polyak"}})
    task, lanes = _trained(tiny, training, steps=6)
    params, variables = judged(task.program, training, lanes[-1])
    rows = task.feed(training, 0)["rows"]
    h = tiny.train.x[rows] @ np.asarray(params["linears"][0]["kernel"])
    norm = variables["norms"][0]
    np.testing.assert_allclose(norm["mean"], h.mean((0, 1)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm["var"], h.var(1).mean(0), rtol=1e-4)
    own = lanes[-1].variables["norms"][0]["var"]
    assert np.abs(own - norm["var"]).max() > 0.05
    with pytest.raises(DeviceError, match=r"^train\.average\.name: polyak needs all training rows"):
        check_techniques(task.program, is_streamed=True)


def test_merged_and_narrow_models_average_as_those_of_their_own(
    tiny: DataSet, learn: Learn
) -> None:
    merged = {"widths": [[4], [16]], "bounds": [4]}
    average = {"name": "ema", "decay": 0.9}
    trainings = [
        a_merged(
            stream,
            merged,
            model={"name": "mlp", "widths": [width]},
            updates={"lookahead": 2},
            train={"epochs": 2, "stream": stream, "merged": merged, "average": average},
        )
        for stream, width in enumerate((4, 16))
    ]
    together = learn(tiny, trainings, lanes=2)
    for training in trainings:
        stream = training.train.stream
        alone = learn(tiny, [unmerged(training)])[stream]
        assert together[stream][-1]["loss"] == pytest.approx(alone[-1]["loss"], rel=1e-4)


def test_a_checkpoint_holds_the_copies_and_none_where_there_are_none(tiny: DataSet) -> None:
    training = _training({"name": "ema"}, {"lookahead": 5})
    lane = task_of(split(training, tiny, "cpu")[0]).initial(training)
    arrays = lane_to_arrays(lane)
    assert {name for name in arrays if "copies" in name} == {"copies.average", "copies.slow"}
    again = lane_from_arrays(lane, arrays)
    assert again is not None
    np.testing.assert_array_equal(again.copies["average"], lane.params)
    plain = a_training()
    assert not any(
        "copies" in name
        for name in lane_to_arrays(task_of(split(plain, tiny, "cpu")[0]).initial(plain))
    )
