"""Numbers that change between epochs: values by hand, and lanes that follow them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.engine.program import split
from hpo.engine.training.techniques.schedules import ScheduledNumbers, number_at, reductions
from hpo.spec.experiment import Training
from hpo.spec.sections.techniques.schedules import Plateau, Steps, Towards
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
