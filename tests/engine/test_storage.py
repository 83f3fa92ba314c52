"""Training on stored features: scaled in a step, with the results of float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.dataset import stored
from hpo.data.load import load_data
from hpo.engine.pools.streaming import data_bytes, placement_of
from hpo.engine.program import split
from hpo.spec.experiment import Training
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.sizes import Storage
from tests.engine.samples import Learn, a_training

_DIGITS = load_data(DataSpec(dataset="digits", rows=400), Path(), None)
_BUDGET = 24_000


def _trials(count: int = 3, budget: Any = "auto", **more: Any) -> list[Training]:
    data = {"dataset": "digits", "batch_size": 16, "device_budget": budget}
    return [
        a_training(n, data=data, optimizer={"name": "sgd", "learning_rate": 0.1 * (n + 1)}, **more)
        for n in range(count)
    ]


@pytest.mark.long
@pytest.mark.parametrize(("kind", "share", "tolerance"), [("uint8", 4, 1e-4), ("float16", 2, 1e-2)])
def test_stored_features_learn_as_float32_whole_and_streamed(
    learn: Learn, kind: Storage, share: int, tolerance: float
) -> None:
    data = stored(_DIGITS, kind)
    assert data_bytes(data) < data_bytes(_DIGITS) / share * 1.1
    plain, whole = learn(_DIGITS, _trials(), lanes=2), learn(data, _trials(), lanes=2)
    for run, epochs in plain.items():
        found, expected = ([one["train_loss"] for one in each] for each in (whole[run], epochs))
        np.testing.assert_allclose(found, expected, rtol=tolerance)
    assert placement_of(data, 16, 2, _BUDGET).train is not None
    streamed = learn(data, _trials(budget=_BUDGET), lanes=2)
    assert streamed == whole
    assert learn(data, _trials()[1:2], lanes=2)[1] == whole[1]  # without neighbours


def test_losses_that_are_kept_by_row_are_those_of_scaled_features(learn: Learn) -> None:
    data = load_data(DataSpec(dataset="iris"), Path(), None)
    drawn = _trials(1, sampling={"name": "importance"})
    plain, found = learn(data, drawn)[0], learn(stored(data, "float16"), drawn)[0]
    for one, expected in zip(found, plain, strict=True):
        assert one == pytest.approx(expected, rel=1e-2)


def test_other_numbers_share_the_program_and_float32_has_the_one_it_had() -> None:
    assert stored(_DIGITS, "float32") is _DIGITS
    programs = [split(trial, stored(_DIGITS, "uint8"), "cpu")[0] for trial in _trials()]
    assert len({*programs}) == 1
    assert split(_trials()[0], _DIGITS, "cpu")[0].scales == ()
