# ruff: noqa: E501 - a message is one line, as users see it
"""Trials in the terms of another space, and points that the user knows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.errors import SpecError
from hpo.spec.fill import fill
from hpo.spec.load import experiment_from_document
from hpo.spec.space.start import start_points
from hpo.spec.space.translate import can_take, nearest, translated, translations
from hpo.trial import Trial

SPEC = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp", "dropout": 0.2},
    "optimizer": {"name": "sgd", "learning_rate": 0.05},
    "train": {"epochs": 9},
}
SPACE = {
    "model.dropout": {"float": [0.0, 0.5]},
    "model.activation": {"choice": ["relu", "gelu"]},
}


def experiment(space, **search):
    search = {"objective": {"maximize": "accuracy"}, "trials": 10, **search}
    return experiment_from_document({**SPEC, "space": space, "search": search}, Path())


def values_of(found):
    return found.training.model_dump(exclude_unset=True)


def now(space, hparams):
    """What has become of a trial: `...` where it is unchanged."""
    found = experiment(space)
    return translations(found.space, values_of(found), [Trial(0, hparams)]).get(0, ...)


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
        experiment({**SPACE, "include": ["optimizer"]}),
        experiment({**SPACE, "include": ["optimizer", "schedule"]}),
    )
    hparams = old.space.draw(np.random.default_rng(seed))
    found = translations(new.space, values_of(new), [Trial(0, hparams)])
    # The schedule's own values are those of the spec, and warm-up's is in its range.
    assert found[0] is not None
    assert fill(new.training, found[0], 0) == fill(old.training, hparams, 0)
    assert can_take(new.space, found[0])
    assert not can_take(new.space, hparams)


def test_numbers_of_another_study_are_moved_to_the_nearest():
    here = experiment(
        {
            "model.dropout": {"float": [0.0, 0.25], "step": 0.05},
            "data.batch_size": {"int": [16, 64], "step": 16},
            "optimizer.learning_rate": {"float": [0.1, 1.0], "log": True},
            "model.norm": {"choice": ["none", "layer"]},
        }
    )
    there = {"model.dropout": 0.33, "data.batch_size": 30, "model.norm": "layer"}
    values = values_of(here)
    assert translated(here.space, values, there) is None
    assert nearest(here.space, values, there) == {
        "model.dropout": 0.25,
        "data.batch_size": 32,
        "optimizer.learning_rate": 0.1,
        "model.norm": "layer",
    }
    assert nearest(here.space, values, {"model.norm": "batch"}) is None


DEEP = {
    "optimizer.name": {"choice": ["adam", "sgd"]},
    "optimizer.learning_rate": {"float": [0.01, 0.1]},
    "optimizer.momentum": {"float": [0.5, 0.8], "when": {"optimizer.name": "sgd"}},
}


def test_a_point_takes_the_specs_values_where_its_dimensions_have_them():
    found = experiment(DEEP)
    points = start_points(
        found.space,
        values_of(found),
        [{}, {"optimizer.name": "adam", "optimizer.learning_rate": 0.1}],
    )
    assert points == (
        # The default momentum, 0.9, is out of range: it is drawn.
        {"optimizer.name": "sgd", "optimizer.learning_rate": 0.05},
        {"optimizer.name": "adam", "optimizer.learning_rate": 0.1},
    )


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ([{"model.dropuot": 0.1}], "search.start[0].model.dropuot: is not a dimension of the space: unknown dimension 'model.dropuot'. Did you mean 'model.dropout'?"),
        ([{}, {"model.dropout": 0.7}], "search.start[1].model.dropout: 0.7 is not among its values: write 0.0 to 0.5"),
        ([{"model.activation": "tanh"}], "search.start[0].model.activation: 'tanh' is not among its values: write 'relu' or 'gelu'"),
        ([{"model.dropout": True}], "search.start[0].model.dropout: true is not among its values: write 0.0 to 0.5"),
        ([{"model.dropout": 0.5, "model.activation": "gelu"}], "search.start[0]: is forbidden by 'model.dropout > 0.4 and model.activation == gelu': correct it or remove it"),
        ([{}, {}], "search.start[1]: is listed twice: remove one"),
        ([{"optimizer.weight_decay": 0.1}], "search.start[0].optimizer.weight_decay: is derived, and follows from the others: remove it"),
        ([{"model.norm": "none", "optimizer.schedule.warmup": 0.1}], "search.start[0].optimizer.schedule.warmup: is not active in this point, where model.norm has another value: remove it"),
        (3, "search.start: cannot be 3: write a list of"),
        ([3], "search.start: cannot be [3]: write a list of"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_point_is_one_line(start, message):
    space = {
        **SPACE,
        "model.norm": {"choice": ["none", "layer"]},
        "optimizer.schedule.warmup": {"float": [0.0, 0.2], "when": {"model.norm": "layer"}},
        "optimizer.weight_decay": {"derived": "model.dropout"},
        "forbid": ["model.dropout > 0.4 and model.activation == gelu"],
    }
    with pytest.raises(SpecError) as caught:
        experiment(space, start=start)
    (line,) = caught.value.mistakes
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"float": [0.0, 0.5], "prior": 0.7}, "space.model.dropout.prior: 0.7 is not among its values: write 0.0 to 0.5"),
        ({"float": [0.0, 0.5], "adapt": 3}, "space.model.dropout.adapt: cannot be 3: write true, or its limits [low, high]"),
        ({"float": [0.0, 0.5], "adapt": [0.1, 0.9]}, "space.model.dropout.adapt: [0.1, 0.9] leaves out some of 0.0 to 0.5: write wider limits"),
        ({"float": [0.0, 0.5], "adapt": [0.0, 1.0]}, "space.model.dropout.adapt: cannot be 1.0: write a number from 0 to below 1"),
        ({"choice": [0.1, 0.2], "adapt": True}, "space.model.dropout.adapt: does not go with choice: remove it, or write float or int"),
        ({"float": [0.1, 0.5], "log": True, "adapt": [0, 0.9]}, "space.model.dropout.adapt: low (0) must be above 0 for log: raise it or remove log"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_prior_or_a_moving_range_is_one_line(entry, message):
    with pytest.raises(SpecError) as caught:
        experiment({"model.dropout": entry})
    assert [line.strip() for line in caught.value.mistakes] == [message]


def test_a_range_that_moves_keeps_to_what_its_leaf_takes():
    space = experiment(
        {
            "model.dropout": {"float": [0.0, 0.5], "adapt": True},
            "optimizer.learning_rate": {"float": [0.01, 0.1], "log": True, "adapt": True},
            "data.batch_size": {"int": [16, 64], "adapt": [1, 128]},
            "optimizer.weight_decay": {"float": [0.1, 0.3], "step": 0.1, "adapt": True},
        }
    ).space
    limits = [(0.0, 0.75), (0.001, 1.0), (1, 128), (0.0, 0.5)]
    assert [d.limits for d in space.dimensions] == limits


def test_a_grid_does_not_move_its_ranges():
    with pytest.raises(SpecError, match="moves its bounds, which grid cannot follow: remove adapt"):
        experiment({"data.batch_size": {"int": [16, 18], "adapt": True}}, sampler={"name": "grid"})
