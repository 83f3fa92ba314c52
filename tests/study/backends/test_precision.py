"""The precision that `auto` stands for: by fake figures, and measured for real."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from hpo.engine.devices import local_devices
from hpo.engine.programs.compiler import Compiler
from hpo.study.backends import precision
from hpo.study.backends.precision import (
    Figures,
    best_precision,
    candidates,
    measured,
    settled_precision,
)
from hpo.study.log.notes import Precision
from tests.engine.samples import a_training, tiny_data
from tests.study.whole import an_experiment


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ({"bfloat16": (0.5, 0.700)}, "bfloat16"),
        ({"bfloat16": (0.5, 0.713)}, "bfloat16"),  # a loss of 2 % more is within the tolerance
        ({"bfloat16": (0.5, 0.715)}, "float32"),
        ({"bfloat16": (0.5, math.nan)}, "float32"),
        ({"bfloat16": (0.95, 0.600)}, "float32"),  # hardly quicker
        ({"bfloat16": (0.6, 0.700), "float16": (0.4, 0.701)}, "float16"),
        ({"bfloat16": (0.6, 0.700), "float16": (0.4, 0.900)}, "bfloat16"),
        ({}, "float32"),
    ],
)
def test_the_quickest_that_learns_as_well_is_chosen(others: Any, chosen: str) -> None:
    figures = {"float32": Figures(1.0, 0.7)} | {n: Figures(*each) for n, each in others.items()}
    assert best_precision(figures).name == chosen


def test_float32_stays_where_it_diverges_itself() -> None:
    figures = {"float32": Figures(1.0, math.nan), "bfloat16": Figures(0.1, 0.5)}
    assert best_precision(figures).name == "float32"


def test_a_private_training_is_not_measured_in_float16() -> None:
    assert candidates(a_training(), "gpu") == ("float32", "bfloat16", "float16")
    private = a_training(privacy={"clip": 1.0, "noise": 1.0})
    assert candidates(private, "gpu") == ("float32", "bfloat16")


def test_the_loss_is_that_of_the_second_epoch_in_each_precision() -> None:
    found = measured(a_training(), tiny_data(), local_devices("cpu")[0], Compiler())
    assert [*found] == ["float32", "bfloat16"]
    losses = [each.loss for each in found.values()]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert all(0 < each.seconds < 10 for each in found.values())


@dataclass
class _Journal:
    """Holds the notes of a study."""

    state: Any = field(default_factory=lambda: SimpleNamespace(notes=[]))

    def record(self, note: Precision) -> None:
        self.state.notes.append(note)


def test_a_study_measures_once_and_obeys_its_note_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fakes = [{"float32": Figures(1.0, 0.7), "bfloat16": Figures(0.5, 0.7)}]
    monkeypatch.setattr(precision, "measured", lambda *_: fakes.pop())
    experiment, said = an_experiment("train.precision=auto"), []
    journal, tiny, place = _Journal(), tiny_data(), local_devices("cpu")[0]
    for _ in range(2):
        found = settled_precision(experiment, tiny, place, None, journal, said.append)  # type: ignore[arg-type]
        assert found.training.train.precision == "bfloat16"
    assert said[0] == said[1]
    assert said[0].startswith("Trials train in bfloat16: float32 took 1 s for an epoch, with a ")
    plain = an_experiment()
    assert settled_precision(plain, tiny, place, None, None, said.append) is plain
