"""The section `updates`: sharpness, clipping for every optimizer, and rules that need gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import abstract_model
from hpo.engine.oneof import OneOf
from hpo.engine.program import split
from hpo.engine.training.batches import host_data
from hpo.engine.training.lane import Lane
from hpo.engine.training.optimizers import Descent, make_optimizer
from hpo.engine.training.task import task_of
from hpo.engine.training.techniques.layers import Layers
from hpo.engine.training.techniques.updates import check_updates, chosen
from hpo.engine.training.weights import cut, parted
from hpo.errors import HpoError
from hpo.registry import OPTIMIZERS, Entry
from hpo.spec.experiment import Training
from hpo.spec.load import load_document
from hpo.spec.marks import Knob, Positive, Spec
from hpo.spec.sections.optimizer import Adam, Constant, Sgd
from hpo.spec.sections.updates import Updates
from tests.engine.samples import Learn, a_training, moment

_RATE, _STEPS, _RADIUS = 0.05, 10, 0.3
_START = np.array([1.0, -2.0, 3.0, 0.5], np.float32)
_CURVATURE = np.array([3.0, 1.0, 0.5, 2.0], np.float32)
_LAYERS = Layers(lambda vector: vector, lambda vector: vector)


def _quadratic(params: Any) -> tuple[Any, Any, Any]:
    """Loss, variables and gradients of a quadratic whose minimum is at 1."""
    off = params - 1
    return 0.5 * (_CURVATURE * off**2).sum(), params.sum(), _CURVATURE * off


def _steps(spec: Any, updates: Updates, start: Any = _START, steps: int = _STEPS) -> Any:
    """The weights after some steps on the quadratic."""
    descent = Descent(spec, updates, _LAYERS)
    state = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), descent.state_shapes(start))
    params = jnp.asarray(start)
    for step in range(steps):
        _, _, params, state = descent.step(_quadratic, state, params, _RATE, moment(step))
    return params


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [
        (Sgd(name="sgd", momentum=0.9), optax.sgd(_RATE, momentum=0.9)),
        (Adam(name="adam"), optax.adam(_RATE)),
    ],
    ids=["sgd", "adam"],
)
def test_ten_sharp_steps_are_those_of_optax(spec: Any, theirs: Any) -> None:
    uphill = optax.chain(optax.contrib.normalize(), optax.sgd(_RADIUS))
    sam = optax.contrib.sam(theirs, uphill, opaque_mode=True)
    params = jnp.asarray(_START)
    state = sam.init(params)
    for _ in range(_STEPS):
        gradients = _quadratic(params)[2]
        moved, state = sam.update(
            gradients, state, params, grad_fn=lambda weights, _: _quadratic(weights)[2]
        )
        params = optax.apply_updates(params, moved)

    traced = jax.jit(lambda radius: _steps(spec, Updates().model_copy(update=radius)))
    ours = traced({"sam_radius": _RADIUS})

    np.testing.assert_allclose(ours, params, rtol=2e-5, atol=1e-6)
    assert np.abs(ours - _steps(spec, Updates())).max() > 5e-4


def test_a_radius_of_zero_as_a_number_is_the_same_as_none() -> None:
    spec = Sgd(name="sgd")
    traced = jax.jit(lambda radius: _steps(spec, Updates().model_copy(update=radius)))
    np.testing.assert_allclose(traced({"sam_radius": 0.0}), _steps(spec, Updates()), rtol=1e-6)


def test_weights_at_a_minimum_stay_there_though_no_direction_is_uphill() -> None:
    # `optax.contrib.normalize` divides zero by zero here.
    minimum = np.ones(4, np.float32)
    found = _steps(Sgd(name="sgd"), Updates(sam_radius=_RADIUS), start=minimum)
    np.testing.assert_array_equal(found, minimum)


def test_an_adaptive_step_uphill_is_as_long_as_each_weight_is_large() -> None:
    spec = Sgd(name="sgd", momentum=0.0)
    found = _steps(spec, Updates(sam_radius=_RADIUS, sam_adaptive=True), steps=3)
    weights = np.array(_START, np.float64)
    for _ in range(3):
        size = np.abs(weights) + 0.01
        first = _CURVATURE * (weights - 1)
        ahead = weights + _RADIUS * size**2 * first / np.linalg.norm(size * first)
        weights = weights - _RATE * _CURVATURE * (ahead - 1)
    np.testing.assert_allclose(found, weights, rtol=1e-5)
    assert np.abs(found - _steps(spec, Updates(sam_radius=_RADIUS), steps=3)).max() > 0.01


def test_each_accumulated_batch_takes_its_own_step_uphill() -> None:
    curvatures = [_CURVATURE, 2 * _CURVATURE[::-1]]
    spec = Sgd(name="sgd", momentum=0.0)
    descent = Descent(spec, Updates(accumulate=2, sam_radius=_RADIUS), _LAYERS)
    params = jnp.asarray(_START)
    state = make_optimizer(spec, descent.updates, _LAYERS).init(params)
    for curvature in curvatures:

        def gradient(weights: Any, curvature: Any = curvature) -> Any:
            return 0.0, None, curvature * (weights - 1)

        _, _, params, state = descent.step(gradient, state, params, _RATE, moment())

    sharp = []
    for curvature in np.array(curvatures, np.float64):
        first = curvature * (_START - 1)
        ahead = _START + _RADIUS * first / np.linalg.norm(first)
        sharp.append(curvature * (ahead - 1))
    np.testing.assert_allclose(params, _START - _RATE * np.mean(sharp, axis=0), rtol=1e-6)


def _one_step(data: DataSet, training: Training, lane: Lane | None = None) -> tuple[Lane, Lane]:
    """A trial's first lane, or this one, and the lane after one step of its first batch."""
    program, knobs = split(training, data, "cpu")
    task = task_of(program)
    before = task.initial(training) if lane is None else lane
    after = jax.jit(task.train)(
        knobs, before, host_data(data, is_whole=False), task.feed(training, 0), 1
    )
    return before, jax.device_get(after)


def test_both_gradients_see_the_same_masks_and_the_statistics_come_from_the_first(
    tiny: DataSet,
) -> None:
    model = {"name": "mlp", "widths": [8], "norm": "batch", "dropout": 0.5}
    optimizer = {"name": "sgd", "momentum": 0.0, "learning_rate": 0.1}
    plain = a_training(model=model, optimizer=optimizer)
    sharp = a_training(model=model, optimizer=optimizer, updates={"sam_radius": _RADIUS})

    start, after = _one_step(tiny, plain)
    first = (start.params - after.params) / 0.1
    ahead = start._replace(params=start.params + _RADIUS * first / np.linalg.norm(first))
    _, there = _one_step(tiny, plain, ahead)
    second = (ahead.params - there.params) / 0.1
    _, found = _one_step(tiny, sharp)

    assert np.abs(second - first).max() > 0.01
    np.testing.assert_allclose(found.params, start.params - 0.1 * second, rtol=1e-4, atol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, found.variables, after.variables)
    assert found.loss_sum == after.loss_sum


def test_the_step_uphill_is_that_of_the_whole_batch_where_it_comes_in_parts(
    tiny: DataSet, learn: Learn
) -> None:
    leaves: dict[str, Any] = {"data__batch_size": 48, "updates": {"sam_radius": _RADIUS}}
    apart = a_training(**leaves, train={"epochs": 2})
    parts = a_training(**leaves, train={"epochs": 2, "merged": {"batch_size": [16, 48]}})
    for ours, expected in zip(learn(tiny, [parts])[0], learn(tiny, [apart])[0], strict=True):
        assert ours["loss"] == pytest.approx(expected["loss"], rel=1e-4)


def test_every_optimizer_clips_by_the_norm_of_updates_as_by_its_own() -> None:
    for ours, theirs in ((Updates(clip_norm=0.5), {}), (Updates(), {"clip_norm": 0.5})):
        np.testing.assert_array_equal(
            _steps(Adam(name="adam", **theirs), ours),
            _steps(Adam(name="adam"), Updates(clip_norm=0.5)),
        )
    assert np.linalg.norm(_quadratic(_START)[2]) > 0.5


class Ahead(Spec):
    """A rule that steps by the gradient at the weights after a plain step (Korpelevich 1976)."""

    name: str = "ahead"
    learning_rate: Knob[Positive] = _RATE
    schedule: Any = Constant(name="constant")


def ahead(spec: Ahead) -> list[optax.GradientTransformation]:
    def update(
        gradients: Any, state: Any, params: Any, *, gradient: Any, loss: Any, rate: Any
    ) -> tuple[Any, Any]:
        there, further = gradient(params - rate * gradients)
        # A plain step that does not lower the loss is taken back.
        return jnp.where(there < loss, further, 0.0), state

    return [optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)]


@pytest.fixture
def own_rule(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    entry = Entry(f"{__name__}:Ahead", f"{__name__}:ahead", needs=("gradient",), is_own=True)
    monkeypatch.setitem(OPTIMIZERS, "ahead", entry)
    return Ahead()


def _by_hand(clip: Callable[[Any], Any]) -> Any:
    weights = np.array(_START, np.float64)
    for _ in range(_STEPS):
        there = weights - _RATE * clip(_CURVATURE * (weights - 1))
        weights = weights - _RATE * clip(_CURVATURE * (there - 1))
    return weights


def test_a_rule_that_needs_it_gets_the_gradient_as_a_function_clipped_like_the_first(
    own_rule: Ahead,
) -> None:
    np.testing.assert_allclose(_steps(own_rule, Updates()), _by_hand(lambda g: g), rtol=1e-5)
    clipped = _by_hand(lambda g: g * min(1.0, 0.5 / np.linalg.norm(g)))
    np.testing.assert_allclose(_steps(own_rule, Updates(clip_norm=0.5)), clipped, rtol=1e-5)
    assert np.abs(clipped - _by_hand(lambda g: g)).max() > 0.1


def test_a_merged_program_gives_the_gradient_to_the_rule_that_needs_it(own_rule: Ahead) -> None:
    options = (Sgd(name="sgd"), own_rule, Adam(name="adam"))
    for index, spec in enumerate(options):
        merged = jax.jit(lambda number: _steps(OneOf(options, number), Updates()))(index)
        np.testing.assert_allclose(merged, _steps(spec, Updates()), rtol=1e-6)


_MODEL = {"name": "mlp", "widths": [8], "norm": "batch"}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "adagrad", "lamb"])
def test_frozen_layers_keep_their_weights_and_their_state_to_the_bit(
    tiny: DataSet, optimizer: str
) -> None:
    rule = {"name": optimizer, "learning_rate": 0.1, "weight_decay": 0.1}
    frozen = a_training(model=_MODEL, optimizer=rule, updates={"freeze": ["linears"]})
    start, after = _one_step(tiny, frozen)
    program, _ = split(frozen, tiny, "cpu")
    vectors = [("params", start.params, after.params)]
    states = zip(jax.tree.leaves(start.optimizer), jax.tree.leaves(after.optimizer), strict=True)
    vectors += [("state", old, new) for old, new in states if old.shape == start.params.shape]
    for _, old, new in vectors:
        before, then = parted(program, old), parted(program, new)
        np.testing.assert_array_equal(before["linears"][0]["kernel"], then["linears"][0]["kernel"])
        assert (before["head"]["kernel"] != then["head"]["kernel"]).all()


def test_a_layer_that_is_frozen_or_has_a_rate_has_the_steps_of_its_levels(tiny: DataSet) -> None:
    rule = {"name": "sgd", "learning_rate": 0.1}
    some = {"optimizer": rule, "compression": {"weights": {"name": "learned", "bits": 3}}}
    moved = []
    for updates in ({}, {"freeze": ["linears"]}, {"rates": {"head": 0.5}}):
        document = {"name": "x", "data": {"dataset": "iris", "batch_size": 16}, **some}
        document |= {"model": _MODEL, "train": {"epochs": 4}, "updates": updates}
        training = load_document(document, Path()).training
        start, after = _one_step(tiny, training)
        program, _ = split(training, tiny, "cpu")
        moved.append(parted(program, after.params - start.params)["step_sizes"])
    plain, frozen, rated = moved
    assert plain["linears/0/kernel"].all()
    assert not frozen["linears/0/kernel"].any()
    assert frozen["head/kernel"].all()
    np.testing.assert_allclose(rated["head/kernel"], plain["head/kernel"] / 2, rtol=1e-4)


_SHARED: dict[str, Any] = {
    "model": {"name": "mlp", "widths": [8], "dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 0.1, "weight_decay": 0.1},
}


def _moved(data: DataSet, training: Training) -> tuple[Any, list[Any]]:
    """Where the weights of a trial's own arrays move in its first step, and where its state."""
    start, after = _one_step(data, training)
    program, _ = split(training, data, "cpu")
    own = abstract_model(program.of_its_own(training)).params
    states = zip(jax.tree.leaves(start.optimizer), jax.tree.leaves(after.optimizer), strict=True)
    pairs = [(start.params, after.params), *(pair for pair in states if pair[0].ndim)]
    weights, *state = (cut(parted(program, old != new), own) for old, new in pairs)
    return weights, state


def test_only_the_chosen_units_change_and_their_state(tiny: DataSet) -> None:
    narrow = {"widths": [[8], [16]]}
    plain = a_training(**_SHARED, updates={"update_share": 0.5})
    merged = a_training(
        **_SHARED, updates={"update_share": 0.5}, train={"epochs": 4, "merged": narrow}
    )
    weights, state = _moved(tiny, plain)
    for moved in state:  # both moments of Adam
        jax.tree.map(np.testing.assert_array_equal, moved, weights)
    jax.tree.map(np.testing.assert_array_equal, weights, _moved(tiny, merged)[0])
    units = [array[0] if array.ndim > 1 else array for array in jax.tree.leaves(weights)]
    for array, unit in zip(jax.tree.leaves(weights), units, strict=True):
        np.testing.assert_array_equal(array, np.broadcast_to(unit, array.shape))
    assert 0.2 < np.concatenate(units).mean() < 0.8
    assert not np.array_equal(*(weights["linears"][0][name] for name in ("kernel", "bias")))


def test_a_share_of_one_is_off_to_the_bit(tiny: DataSet) -> None:
    whole = a_training(**_SHARED, updates={"update_share": 1.0})
    lanes = [_one_step(tiny, training)[1] for training in (whole, a_training(**_SHARED))]
    jax.tree.map(np.testing.assert_array_equal, *lanes)


def test_the_batches_of_one_update_have_the_same_units() -> None:
    updates = Updates(update_share=0.5, accumulate=2)
    start = np.ones(64, np.float32)
    drawn = [np.asarray(chosen(updates, _LAYERS, start, moment(step))) for step in range(4)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[2], drawn[3])
    assert (drawn[1] != drawn[2]).any()
    share = np.mean([chosen(updates, _LAYERS, start, moment(2 * step)) for step in range(200)])
    assert share == pytest.approx(0.5, abs=0.02)


def test_with_all_layers_frozen_no_weight_changes(tiny: DataSet) -> None:
    start, after = _one_step(tiny, a_training(model=_MODEL, updates={"freeze": ["*"]}))
    np.testing.assert_array_equal(start.params, after.params)
    assert np.isfinite(after.loss_sum)
    assert (start.variables["norms"][0]["mean"] != after.variables["norms"][0]["mean"]).any()


def test_frozen_layers_count_for_no_norm(tiny: DataSet) -> None:
    optimizer = {"name": "sgd", "momentum": 0.0, "learning_rate": 1.0}
    training = a_training(
        model=_MODEL,
        optimizer=optimizer,
        updates={"freeze": ["linears", "norms"], "clip_norm": 0.01},
    )
    start, after = _one_step(tiny, training)
    assert np.linalg.norm(start.params - after.params) == pytest.approx(0.01, rel=1e-4)


def test_rates_multiply_the_steps_of_their_layers(tiny: DataSet) -> None:
    optimizer = {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1}
    experiment = {"name": "x", "data": {"dataset": "iris", "batch_size": 16}, "model": _MODEL}
    experiment |= {"optimizer": optimizer, "train": {"epochs": 4}}
    rates = {"updates": {"rates": {"head": 10.0, "*/bias": 0.5, "linears/0": 0.0}}}
    plain, rated = (load_document({**experiment, **more}, Path()).training for more in ({}, rates))
    start, once = _one_step(tiny, plain)
    _, found = _one_step(tiny, rated)
    program, _ = split(rated, tiny, "cpu")
    moved, ours = (parted(program, lane.params - start.params) for lane in (once, found))
    np.testing.assert_allclose(ours["head"]["kernel"], 10 * moved["head"]["kernel"], rtol=1e-4)
    np.testing.assert_allclose(ours["head"]["bias"], 5 * moved["head"]["bias"], rtol=1e-4)
    assert not ours["linears"][0]["kernel"].any()
    np.testing.assert_array_equal(ours["norms"][0]["scale"], moved["norms"][0]["scale"])


def test_rates_are_numbers_of_a_program(tiny: DataSet) -> None:
    document = {"name": "x", "data": {"dataset": "iris", "batch_size": 16}, "model": _MODEL}
    document |= {"optimizer": {"name": "adamw"}, "train": {"epochs": 4}}
    trainings = [
        load_document({**document, "updates": {"rates": {"head": rate}}}, Path()).training
        for rate in (0.1, 3.0)
    ]
    programs = [split(training, tiny, "cpu")[0] for training in trainings]
    assert programs[0] == programs[1]
    assert programs[0].label == programs[1].label
    assert "updates.rates.head" in programs[0].knobs


@pytest.mark.parametrize("updates", [{"freeze": ["heads"]}, {"freeze": ["lin"]}])
def test_a_pattern_without_a_layer_is_refused_with_the_names_of_the_layers(
    tiny: DataSet, updates: dict[str, Any]
) -> None:
    program, _ = split(a_training(model=_MODEL, updates=updates), tiny, "cpu")
    with pytest.raises(HpoError, match=r"names no layer .* head, linears/0, norms/0: "):
        task_of(program).shapes()


def test_more_accumulated_batches_than_the_training_has_are_refused(tiny: DataSet) -> None:
    check_updates(a_training(updates={"accumulate": 24}), tiny)  # 4 epochs of 6 batches
    with pytest.raises(HpoError, match=r"updates.accumulate: 25 batches .* more than the 24 of"):
        check_updates(a_training(updates={"accumulate": 25}), tiny)
