"""Trials in the terms of another space, and points that the user knows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.spec.experiment import Training
from hpo.spec.fill import fill
from hpo.spec.space.translate import can_take, nearest, translated, translations
from hpo.trial import Trial
from tests.spec.space.samples import SPACE, searched, values_of


def now(space, hparams):
    """What has become of a trial: `...` where it is unchanged."""
    found = searched(space)
    return translations(found.space, values_of(found), [Trial(0, hparams)], Training).get(0, ...)


TRIAL = {"model.dropout": 0.3, "model.activation": "gelu"}


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (SPACE, ...),
        ({**SPACE, "model.dropout": {"float": [0.0, 0.8]}}, ...),  # wider
        ({**SPACE, "model.dropout": {"float": [0.0, 0.25]}}, None),  # narrower
        ({**SPACE, "model.activation": {"choice": ["tanh", "relu", "gelu"]}}, ...),
        ({**SPACE, "model.activation": {"choice": ["tanh", "relu"]}}, None),
        # New dimensions stand at the spec's own value, where they have it.
        (
            {**SPACE, "optimizer.learning_rate": {"float": [0.01, 0.1]}},
            {**TRIAL, "optimizer.learning_rate": 0.05},
        ),
        ({**SPACE, "optimizer.learning_rate": {"float": [0.1, 1.0]}}, None),
        (
            {**SPACE, "model.norm": {"choice": ["none", "layer"]}},
            {**TRIAL, "model.norm": "none"},
        ),
        # Without a dimension, the spec's value would hold: another training.
        ({"model.dropout": {"float": [0.0, 0.5]}}, None),
        ({**SPACE, "model.activation": "gelu"}, ...),
        ({**SPACE, "forbid": ["model.activation == gelu"]}, None),
        ({**SPACE, "forbid": ["model.activation == gelu and model.dropout > 0.4"]}, ...),
        ({**SPACE, "optimizer.momentum": {"derived": "model.dropout"}}, None),
        (
            {**SPACE, "optimizer.weight_decay": {"derived": "model.dropout * 0"}},
            {**TRIAL, "optimizer.weight_decay": 0.0},
        ),
        (
            {**SPACE, "model.dropout": {"float": [0.0, 0.5], "when": {"model.activation": "relu"}}},
            None,
        ),
        ({**SPACE, "model.dropout": {"float": [0.0, 0.5], "step": 0.1}}, ...),
        ({**SPACE, "model.dropout": {"float": [0.0, 0.5], "step": 0.2}}, None),
    ],
)
def test_an_earlier_trial_is_in_a_new_space_what_it_trained_as(space, expected):
    assert now(space, TRIAL) == expected


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_translated_trial_trains_the_same(seed):
    old, new = (
        searched({**SPACE, "include": ["optimizer"]}),
        searched({**SPACE, "include": ["optimizer", "schedule"]}),
    )
    hparams = old.space.draw(np.random.default_rng(seed))
    found = translations(new.space, values_of(new), [Trial(0, hparams)], Training)
    # The schedule's own values are those of the spec, and warm-up's is in its range.
    assert found[0] is not None
    assert fill(new.training, found[0], 0) == fill(old.training, hparams, 0)
    assert can_take(new.space, found[0])
    assert not can_take(new.space, hparams)


def test_numbers_of_another_study_are_moved_to_the_nearest():
    here = searched(
        {
            "model.dropout": {"float": [0.0, 0.25], "step": 0.05},
            "data.batch_size": {"int": [16, 64], "step": 16},
            "optimizer.learning_rate": {"float": [0.1, 1.0], "log": True},
            "model.norm": {"choice": ["none", "layer"]},
        }
    )
    there = {"model.dropout": 0.33, "data.batch_size": 30, "model.norm": "layer"}
    values = values_of(here)
    assert translated(here.space, values, there, Training) is None
    assert nearest(here.space, values, there, Training) == {
        "model.dropout": 0.25,
        "data.batch_size": 32,
        "optimizer.learning_rate": 0.1,
        "model.norm": "layer",
    }
    assert nearest(here.space, values, {"model.norm": "batch"}, Training) is None
