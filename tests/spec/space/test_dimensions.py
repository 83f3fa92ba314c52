"""Dimensions: their order, their limits, and those that can never be active."""

from pathlib import Path

import pytest

from hpo.errors import SpecError
from hpo.spec.load import experiment_from_document
from tests.spec.samples import loaded
from tests.spec.space.samples import SPEC, searched


def test_dimensions_come_after_those_that_their_conditions_look_at(tmp_path):
    text = """
space:
  optimizer.momentum: {float: [0.5, 0.9], when: {optimizer.name: [sgd, rmsprop]}}
  model.dropout: {float: [0.0, 0.5]}
  optimizer.name: {choice: [sgd, adam, rmsprop]}
"""
    space = loaded(tmp_path, text).space
    assert [d.path for d in space.dimensions] == [
        "model.dropout",
        "optimizer.name",
        "optimizer.momentum",
    ]


def test_a_leaf_in_every_variant_needs_no_condition(tmp_path):
    text = "space: {model.name: {choice: [mlp, cnn]}, model.dropout: {float: [0.0, 0.5]}}"
    assert len(loaded(tmp_path, text).space) == 2


def test_included_entries_for_variants_that_never_come_are_left_out(tmp_path):
    text = "space: {include: optimizer, optimizer.name: {choice: [sgd, adam]}}"
    paths = {dimension.path for dimension in loaded(tmp_path, text).space.dimensions}
    assert "optimizer.momentum" in paths
    assert "optimizer.decay" not in paths  # of rmsprop alone


def test_a_range_that_moves_keeps_to_what_its_leaf_takes():
    space = searched(
        {
            "model.dropout": {"float": [0.0, 0.5], "adapt": True},
            "optimizer.learning_rate": {"float": [0.01, 0.1], "log": True, "adapt": True},
            "data.batch_size": {"int": [16, 64], "adapt": [1, 128]},
            "optimizer.weight_decay": {"float": [0.1, 0.3], "step": 0.1, "adapt": True},
        }
    ).space
    limits = [(0.0, 0.75), (0.001, 1.0), (1, 128), (0.0, 0.5)]
    assert [d.limits for d in space.dimensions] == limits


def kept_zeros(space, start=None, name="kept"):
    parts = {"model": {**SPEC["model"], "from": start}, "compression": {"sparsity": {"name": name}}}
    search = {"objective": {"maximize": "accuracy"}, "trials": 10}
    return experiment_from_document({**SPEC, **parts, "space": space, "search": search}, Path())


WHOLE = {"name": "mlp", "from": "base"}
KINDS = {"compression.sparsity.name": {"choice": ["none", "kept", "fixed"]}}
BASES = {"choice": ["base", "other"]}


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ({"model.from": BASES}, "kept"),
        ({"model": {"choice": [WHOLE, {"name": "cnn", "from": "base"}]}}, "kept"),
        ({**KINDS, "model.from": BASES}, "none"),
        ({**KINDS, "model.from": {**BASES, "when": {"compression.sparsity.name": "kept"}}}, "none"),
    ],
)
def test_zeros_are_kept_where_each_trial_that_keeps_them_starts_from_a_model(space, name):
    assert len(kept_zeros(space, name=name).space) == len(space)


NONE = "names no trained model, whose zeros compression.sparsity keeps"


@pytest.mark.parametrize(
    ("space", "name", "message"),
    [
        ({}, "kept", f"model.from: {NONE}"),
        ({"model.dropout": {"float": [0.0, 0.3]}}, "kept", f"model.from: {NONE}"),
        (
            {"model.from": {"choice": ["base", None, "other"]}},
            "kept",
            f"space.model.from: with null, model.from {NONE}",
        ),
        (
            {**KINDS, "model.from": {"choice": ["base", None, "other"]}},
            "none",
            f"space.model.from: with null, model.from {NONE}",
        ),
        (
            {"model": {"choice": [WHOLE, {"name": "mlp"}, {**WHOLE, "from": "other"}]}},
            "kept",
            f"space.model: with {{name: 'mlp'}}, model.from {NONE}",
        ),
        (
            {
                "model.name": {"choice": ["mlp", "cnn"]},
                "model.from": {**BASES, "when": {"model.name": "mlp"}},
            },
            "kept",
            f"model.from {NONE}",
        ),
    ],
)
def test_zeros_of_no_model_are_refused_wherever_a_trial_may_draw_them(space, name, message):
    with pytest.raises(SpecError) as refused:
        kept_zeros(space, name=name)
    (mistake,) = refused.value.mistakes
    assert message in mistake
