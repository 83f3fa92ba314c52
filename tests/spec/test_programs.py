"""The leaves that shape a program, and how many programs a space needs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.spec.fill import fill
from hpo.spec.programs import count_programs, static_leaves
from tests.spec.samples import EXPERIMENT, TRAINING, draws, experiment


@given(st.integers(0, 2**32 - 1))
def test_knobs_share_a_program_and_static_leaves_do_not(seed):
    def static(**hparams):
        return static_leaves(
            fill(TRAINING, {p.replace("__", "."): v for p, v in hparams.items()}, 0)
        )

    rate = float(np.random.default_rng(seed).uniform(0.01, 0.9))
    assert static(model__dropout=rate, optimizer__momentum=rate) == static()
    assert static(model__init="orthogonal") == static()
    assert static(optimizer__clip_norm=rate) == static(optimizer__clip_norm=2.0)
    assert static(optimizer__clip_norm=None) != static(optimizer__clip_norm=2.0)
    assert static(model__widths=[33]) != static()
    assert static(model__name="cnn") != static()
    assert static(optimizer__schedule__name="step") != static()
    assert hash(static()) == hash(static())


@pytest.mark.parametrize(
    ("space", "programs"),
    [
        ({}, 1),
        ({"model.dropout": {"float": [0.0, 0.5]}}, 1),
        ({"model.widths": {"choice": [[8], [16], [8, 8]]}}, 3),
        ({"model.widths": [64]}, 1),
        ({"optimizer.clip_norm": {"choice": [None, 1.0, 2.0]}}, 2),
        ({"data.batch_size": {"int": [1, 1000]}}, 1000),
        ({"data.batch_size": {"int": [1, 5000]}}, 5000),  # a bound: too many to look at
        ({"data.batch_size": {"int": [1, 1_000_000]}}, None),
        (
            {
                "model.name": {"choice": ["mlp", "cnn"]},
                "model.widths": {"choice": [[8], [16]], "when": {"model.name": "mlp"}},
                "model.kernel": {"int": [1, 5], "step": 2, "when": {"model.name": "cnn"}},
            },
            2 + 3,
        ),
        (
            {
                "optimizer": {"choice": [{"name": "sgd"}, {"name": "sgd", "momentum": 0.1}]},
                "optimizer.nesterov": {"choice": [True, False]},
            },
            2,
        ),
    ],
)
def test_programs_are_counted_over_what_is_static_and_can_meet(space, programs):
    assert count_programs(experiment(space)) == programs


@pytest.mark.long
@given(st.integers(0, 2**32 - 1))
def test_no_draw_needs_a_program_that_was_not_counted(seed):
    rng = np.random.default_rng(seed)
    seen = {static_leaves(fill(TRAINING, EXPERIMENT.space.draw(rng), 0)) for _ in range(8)}
    count = count_programs(EXPERIMENT)
    assert count is not None
    assert len(seen) <= count
    assert math.isinf(EXPERIMENT.space.size)


def test_programs_are_counted_over_what_is_allowed_and_derived():
    space = {
        "model.widths": {"choice": [[8], [16]]},
        "model.activation": {"choice": ["relu", "gelu", "tanh"]},
        "forbid": ["model.widths == [8] and model.activation == relu"],
    }
    found = experiment(space)
    assert count_programs(found) == 5
    derived = experiment({
        "model.dropout": {"choice": [0.1, 0.2, 0.4]},
        "data.batch_size": {"derived": "model.dropout * 100"},
    })  # fmt: skip
    assert count_programs(derived) == 3
    leaves = {static_leaves(fill(derived.training, h, 0)) for h in draws(derived.space)}
    assert len(leaves) == 3
