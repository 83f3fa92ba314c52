"""Numbers that change between epochs: values by hand, and lanes that follow them."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hpo.engine.program import split
from hpo.engine.training.schedules import schedule_factor
from hpo.engine.training.techniques.schedules import ScheduledNumbers, number_at, reductions
from hpo.spec.experiment import Training
from hpo.spec.sections.optimizer import ScheduleSpec
from hpo.spec.sections.techniques.schedules import NumberSchedule, Plateau, Steps, Towards
from tests.engine.samples import tiny_data


class ReduceOnPlateau:
    """The callback of Keras, epoch by epoch, without a cooldown."""

    def __init__(self, rate: float, factor: float, patience: int, min_delta: float) -> None:
        self.rate, self.factor, self.patience, self.min_delta = rate, factor, patience, min_delta
        self.best, self.wait = math.inf, 0

    def on_epoch_end(self, loss: float) -> None:
        if loss < self.best - self.min_delta:
            self.best, self.wait = loss, 0
        else:
            self.wait += 1
            if self.wait >= self.patience:
                self.rate *= self.factor
                self.wait = 0


@given(
    st.lists(st.integers(0, 64).map(lambda n: n / 64), max_size=20),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.125]),
)
def test_a_plateau_reduces_as_keras_does(losses, patience, min_delta):
    keras = ReduceOnPlateau(1.0, 0.5, patience, min_delta)
    for loss in losses:
        keras.on_epoch_end(loss)
    spec = Plateau(name="plateau", patience=patience, min_delta=min_delta, factor=0.5)
    assert number_at(spec, 1.0, len(losses), 20, losses) == keras.rate
    assert keras.rate == 0.5 ** reductions(losses, patience, min_delta)


def test_a_plateau_does_not_go_below_its_least_value():
    spec = Plateau(name="plateau", patience=1, factor=0.1, least=0.05)
    assert number_at(spec, 1.0, 4, 9, [1.0, 1.0, 1.0, 1.0]) == 0.05


@pytest.mark.parametrize(
    ("spec", "start", "values"),
    [
        (Towards(name="linear", to=0.4), 0.0, [0.0, 0.1, 0.2, 0.3, 0.4]),
        (Towards(name="cosine", to=0.0), 1.0, [1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0.0]),
        (Steps(name="step", drops=1, factor=0.5), 0.8, [0.8, 0.8, 0.8, 0.4, 0.4]),
        (Steps(name="step", drops=4, factor=2.0), 1, [1, 2, 4, 8, 16]),
        (Towards(name="linear", to=4), 1, [1, 2, 2, 3, 4]),
    ],
)
def test_a_number_follows_its_schedule_from_the_first_epoch_to_the_last(spec, start, values):
    found = [number_at(spec, start, epoch, 5, []) for epoch in range(5)]
    assert found == pytest.approx(values)


def values_of(schedule: dict[str, Any], own: float, epochs: int) -> list[float]:
    spec = TypeAdapter(NumberSchedule).validate_python(schedule)
    return [number_at(spec, own, epoch, epochs, []) for epoch in range(epochs)]


_MOMENTUM_CYCLE = {"rise": 0.25, "start": 0.95 / 0.85, "final": 0.95 / 0.85}


# The last of 40 epochs reaches `to`, so that there are 39 steps to it.
@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [
        ({"name": "linear", "to": 0.1}, optax.linear_schedule(0.5, 0.1, 39)),
        ({"name": "cosine", "to": 0.1}, optax.cosine_decay_schedule(0.5, 39, alpha=0.2)),
        ({"name": "polynomial", "to": 0.9}, optax.polynomial_schedule(0.5, 0.9, 2, 39)),
        ({"name": "polynomial", "to": 0, "power": 3}, optax.polynomial_schedule(0.5, 0, 3, 39)),
        ({"name": "exponential", "final": 1.5}, optax.exponential_decay(0.5, 40, 1.5)),
        (
            {"name": "step", "drops": 3, "factor": 1.2},
            optax.piecewise_constant_schedule(0.5, {10: 1.2, 20: 1.2, 30: 1.2}),
        ),
        (
            {"name": "piecewise", "first": 0.25, "first_factor": 1.8, "third": 0.8},
            optax.piecewise_constant_schedule(0.5, {10: 1.8, 30: 0.1, 32: 0.1}),
        ),
        (
            {"name": "cosine_restarts", "cycles": 4, "final": 0.1, "factor": 1.1},
            optax.join_schedules(
                [optax.cosine_decay_schedule(0.5 * 1.1**n, 10, alpha=0.1) for n in range(4)],
                [10, 20, 30],
            ),
        ),
        ({"name": "one_cycle"}, optax.cosine_onecycle_schedule(40, 0.5)),
        (
            # One half cosine from 0.95 to 0.85, and one back.
            {"name": "one_cycle", **_MOMENTUM_CYCLE},
            lambda step: jnp.where(
                step < 10,
                optax.cosine_decay_schedule(0.95, 10, alpha=0.85 / 0.95)(step),
                0.95 + 0.85 - optax.cosine_decay_schedule(0.95, 30, alpha=0.85 / 0.95)(step - 10),
            ),
        ),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_numbers_follow_the_schedules_of_optax(schedule, theirs):
    own = 0.85 if _MOMENTUM_CYCLE.items() <= schedule.items() else 0.5
    expected = jax.vmap(theirs)(jnp.arange(40))
    np.testing.assert_allclose(values_of(schedule, own, 40), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "constant", "warmup_shape": "quadratic"},
        {"name": "exponential", "warmup_shape": "exponential", "warmup_start": 0.2},
        {"name": "step", "drops": 3, "factor": 0.5, "warmup_shape": "cosine"},
        {"name": "piecewise", "second": 0.6},
        {"name": "cosine_restarts", "final": 0.1, "factor": 0.5},
        {"name": "one_cycle"},
        {"name": "coslog", "cycles": 2},
    ],
    ids=str,
)
def test_a_word_means_the_same_for_a_number_as_for_the_learning_rate(shape):
    shape = {**shape, "warmup": 0.25}
    rate = TypeAdapter(ScheduleSpec).validate_python(shape)
    factors = schedule_factor(rate, jnp.arange(40), 40.0)
    values = values_of(shape, 0.5, 40)
    np.testing.assert_allclose(values, 0.5 * factors, rtol=1e-4, atol=1e-6)


def test_a_warm_up_has_whole_epochs_and_goes_before_the_way_to_the_last_value():
    schedule = {"name": "linear", "to": 0.0, "warmup": 0.3}  # 2.4 of 8 epochs
    assert values_of(schedule, 1.0, 8) == pytest.approx([0.5, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0])


def a_training(**train):
    return Training.model_validate(
        {
            "data": {"dataset": "iris", "batch_size": 16},
            "model": {"name": "mlp", "widths": [4], "dropout": 0.2},
            "optimizer": {"name": "sgd", "momentum": 0.5},
            "updates": {"accumulate": 1},
            "train": {"epochs": 5, **train},
        }
    )


def test_schedules_change_the_numbers_of_a_program_and_not_the_program():
    schedules = {
        "optimizer.momentum": {"name": "linear", "to": 0.9},
        "optimizer.learning_rate": {"name": "one_cycle"},
        "updates.accumulate": {"name": "step", "drops": 2, "factor": 2.0},
    }
    plain, _ = split(a_training(), tiny_data(), "cpu")
    training = a_training(schedules=schedules)
    program, knobs = split(training, tiny_data(), "cpu")
    assert program == plain
    assert program.label == plain.label
    scheduled = ScheduledNumbers.of(training, program)
    last = dict(zip(program.knobs, scheduled.at(knobs, 4, [0.1] * 4), strict=True))
    first = dict(zip(program.knobs, knobs, strict=True))
    changed = {path for path in last if last[path] != first[path]}
    assert changed == set(schedules)
    assert last["optimizer.momentum"] == np.float32(0.9)
    assert last["updates.accumulate"] == 4


def test_a_schedule_from_0_keeps_its_number_in_the_program():
    training = a_training(schedules={"optimizer.weight_decay": {"name": "linear", "to": 0.1}})
    program, _ = split(training, tiny_data(), "cpu")
    assert "optimizer.weight_decay" in program.knobs
    assert "optimizer.weight_decay" not in split(a_training(), tiny_data(), "cpu")[0].knobs
