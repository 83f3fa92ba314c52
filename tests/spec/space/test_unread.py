"""Notes about leaves that no trial reads."""

from pathlib import Path

import pytest

from hpo.report.check import as_json, check_summary, render
from hpo.spec.load import experiment_from_document

SLOPE = "set that to leaky_relu, or remove model.slope"
VARY = {"float": [0.0, 0.3]}


def notes(space=None, data=(), **model):
    """The notes of `hpo check` for a spec with these sections."""
    document = {
        "name": "x",
        "data": {"dataset": "digits", **dict(data)},
        "model": {"name": "mlp", **model},
        "optimizer": {"name": "sgd"},
        "train": {"epochs": 9},
        "space": {"optimizer.momentum": VARY, **(space or {})},
        "search": {"objective": {"maximize": "accuracy"}, "trials": 9},
    }
    return check_summary(experiment_from_document(document, Path())).unread


@pytest.mark.parametrize(
    ("section", "note"),
    [
        ({"slope": 0.2}, f"model.slope has no effect while model.activation is relu: {SLOPE}"),
        (
            {"init_scale": 2.0, "init": "zeros"},
            "model.init_scale has no effect while model.init is zeros: change that, or remove "
            "model.init_scale",
        ),
        (
            {"init_gain": "auto", "init": "zeros"},
            "model.init_gain has no effect while model.init is zeros: change that, or remove "
            "model.init_gain",
        ),
        (
            {"data": {"range": [-1, 1]}},
            "data.range has no effect while data.normalize is standard: set that to minmax, or "
            "remove data.range",
        ),
    ],
)
def test_a_leaf_that_nothing_reads_is_noted(section, note):
    assert notes(**section) == (note,)


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"slope": 0.2, "activation": "leaky_relu"},
        {"init_scale": 2.0, "init": "normal"},
        {"data": {"range": [-1, 1], "normalize": "minmax"}},
        # The defaults, as an exported spec writes them.
        {"slope": None, "init_scale": None, "data": {"range": [0.0, 1.0]}},
    ],
)
def test_a_leaf_that_is_read_or_left_at_its_default_is_not_noted(section):
    assert notes(**section) == ()


def test_a_dimension_is_noted_where_no_trial_reads_it():
    choices = {"choice": ["relu", "tanh"]}
    note = f"model.slope has no effect while model.activation is relu or tanh: {SLOPE}"
    assert notes({"model.slope": VARY, "model.activation": choices}) == (note,)

    ranges = {"choice": [[0, 1], [-1, 1]]}
    assert [n.split(":")[0] for n in notes({"data.range": ranges})] == [
        "data.range has no effect while data.normalize is standard"
    ]


def test_a_dimension_that_some_trial_reads_is_not_noted():
    choices = {"choice": ["relu", "leaky_relu"]}
    for when in ({}, {"when": {"model.activation": "leaky_relu"}}):
        assert notes({"model.slope": {**VARY, **when}, "model.activation": choices}) == ()


def test_a_condition_under_which_nothing_reads_a_dimension_is_noted():
    choices = {"choice": ["relu", "leaky_relu"]}
    slope = {**VARY, "when": {"model.activation": "relu"}}
    (note,) = notes({"model.activation": choices, "model.slope": slope})
    assert note.startswith("model.slope has no effect while model.activation is relu")


def test_a_derived_leaf_that_nothing_reads_is_noted():
    (note,) = notes({"model.slope": {"derived": "optimizer.momentum * 0.5"}})
    assert note.startswith("model.slope has no effect")


def test_the_leaf_of_another_model_in_the_space_is_judged_by_its_own_default():
    space = {"model.name": {"choice": ["mlp", "fourier"]}}
    slope = {**VARY, "when": {"model.name": "mlp"}}
    (note,) = notes({**space, "model.slope": slope})
    assert note.startswith("model.slope has no effect while model.activation is relu:")


def test_a_note_is_a_line_of_hpo_check():
    document = {
        "name": "x",
        "data": {"dataset": "digits"},
        "model": {"name": "mlp", "slope": 0.2},
        "optimizer": {"name": "sgd"},
        "train": {"epochs": 9},
    }
    found = check_summary(experiment_from_document(document, Path()))
    line = f"model.slope has no effect while model.activation is relu: {SLOPE}"
    assert render(found).splitlines()[-1] == f"note       {line}"
    assert as_json(found)["notes"] == [line]


def test_a_choice_of_whole_parts_is_no_reason_for_a_note():
    space = {"optimizer": {"choice": [{"name": "sgd"}, {"name": "rmsprop"}]}}
    assert notes(space) == ()
