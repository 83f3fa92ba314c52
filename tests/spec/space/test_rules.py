# ruff: noqa: E501 - a message is one line, as users see it
"""Forbidden combinations and derived values, from the text to the trials that may be drawn."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.errors import HpoError, SpecError
from hpo.report.check import as_json, check_summary, render
from hpo.space import Choice, Dimension, Float, SearchSpace
from hpo.spec.fill import fill
from hpo.spec.load import experiment_from_document, load_experiment
from tests.spec.samples import draws

SPEC = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd"},
    "train": {"epochs": 9},
    "search": {"objective": {"maximize": "accuracy"}, "trials": 10},
}
THREE_DEEP = {
    "optimizer.name": {"choice": ["sgd", "adam"]},
    "optimizer.nesterov": {"choice": [True, False], "when": {"optimizer.name": "sgd"}},
    "optimizer.schedule.name": {
        "choice": ["constant", "step"],
        "when": {"optimizer.nesterov": True},
    },
    "optimizer.schedule.drops": {"int": [1, 4], "when": {"optimizer.schedule.name": "step"}},
    "model.activation": {"choice": ["relu", "gelu", "tanh"]},
}


def experiment(space, **parts):
    return experiment_from_document({**SPEC, "space": space, **parts}, Path())


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("forbid: 3", "space.forbid: cannot be 3: write a list, [optimizer.name == sgd and optimizer.learning_rate > 0.5]"),
        ("forbid: [3]", "space.forbid[0]: cannot be 3: write a condition such as model.dropout > 0.3"),
        ("forbid: [model.dropout = 3]", "space.forbid[0]: 'model.dropout = 3' has a single =: write == to compare"),
        ("forbid: [model.dropuot > 0.3]", "space.forbid[0]: there is no leaf 'model.dropuot'. Did you mean 'model.dropout'?"),
        ("forbid: [model.dropout > half]", "space.forbid[0]: 'half' is not a number: compare with ==, != or in"),
        ("forbid: [optimizer.name > 3]", "space.forbid[0]: optimizer.name is not a number: compare with ==, != or in"),
        ("forbid: [optimizer.name == sdg]", "space.forbid[0]: optimizer.name unknown name 'sdg'. Did you mean 'sgd'?"),
        ("forbid: [model == 3]", "space.forbid[0]: model is a whole section: compare one of its leaves, such as model.name"),
        ("forbid: [1 < 2]", "space.forbid[0]: compares values with each other: name a leaf, such as optimizer.name"),
        ("forbid: [optimizer.name == sgd]", "space.forbid[0]: 'optimizer.name == sgd' holds for every trial, because nothing in it varies: remove it"),
        ("forbid: [model.dropout >= 0]", "space.forbid: forbids all of 2,000 configurations drawn: remove or loosen a rule"),
        ("forbid: ['model.norm in [none, layer]']", "space.forbid: forbids every configuration: remove or loosen a rule"),
        ("optimizer.schedule.warmup: {derived: 3}", "space.optimizer.schedule.warmup.derived: '3' looks at no leaf: write value instead"),
        ("optimizer.schedule.warmup: {derived: model.dropout *}", "space.optimizer.schedule.warmup.derived: 'model.dropout *' has the end where a value belongs"),
        ("optimizer.schedule.warmup: {derived: model.dropout * 4}", "space.optimizer.schedule.warmup.derived: with model.dropout at 0.5, cannot be 2.0: write a number from 0 to below 1"),
        ("optimizer.schedule.warmup: {derived: 0.0 / model.dropout}", "space.optimizer.schedule.warmup.derived: with model.dropout at 0.0, has no value"),
        ("optimizer.schedule.warmup: {derived: model.norm}", "space.optimizer.schedule.warmup.derived: with model.norm at"),
        ("optimizer.schedule.warmup: {derived: model.dropout, log: true}", "space.optimizer.schedule.warmup.log: does not go with derived: remove one"),
        ("optimizer.schedule.warmpu: {derived: model.dropout}", "space.optimizer.schedule.warmpu: there is no leaf"),
        ("optimizer.name: {derived: model.dropout}", "space.optimizer.name: cannot be derived: it is no single value. Derive one of its leaves"),
        ("train.epochs: {derived: model.dropout}", "space.train.epochs: cannot vary: it is the same for all trials. Set train.epochs in the spec"),
        ("optimizer.momentum: {derived: optimizer.schedule.warmup}, optimizer.schedule.warmup: {derived: optimizer.momentum}", "space.optimizer.momentum.derived: is derived in a circle: optimizer.momentum, optimizer.schedule.warmup. Remove one"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rule_is_one_line_with_its_place(tmp_path, space, message):
    lines = [
        "name: digits", "data: {dataset: digits}", "model: {name: mlp}", "optimizer: {name: sgd}",
        "train: {epochs: 9}", "search: {objective: {maximize: accuracy}, trials: 10}",
        "space: {model.dropout: {float: [0.0, 0.5]}, model.norm: {choice: [none, layer]}, " + space + "}",
    ]  # fmt: skip
    (tmp_path / "spec.yaml").write_text("\n".join(lines))
    with pytest.raises(SpecError) as caught:
        load_experiment(tmp_path / "spec.yaml")
    (line,) = caught.value.mistakes
    assert line.removeprefix(f"{tmp_path}/").startswith(f"spec.yaml:7: {message}")


def test_no_draw_meets_a_forbidden_combination_and_every_other_one_is_drawn():
    space = experiment(
        {
            **THREE_DEEP,
            "forbid": ["optimizer.schedule.drops > 2 and model.activation == relu"],
        }
    ).space
    seen = {tuple(sorted((k, str(v)) for k, v in d.items())) for d in draws(space, 900)}
    # 3 activations x (adam, no nesterov, constant, 4 drops), without 2 drops at relu.
    assert len(seen) == space.size == 3 * (1 + 1 + 1 + 4) - 2


def test_a_rule_looks_at_what_the_spec_gives_where_nothing_varies():
    space = experiment(
        {
            "model.dropout": {"float": [0.0, 0.5], "when": {"model.norm": "none"}},
            "model.norm": {"choice": ["none", "layer"]},
            # Under layer norm, dropout is the spec's own 0.
            "forbid": ["model.dropout == 0 and train.epochs == 9"],
        }
    ).space
    assert {draw["model.norm"] for draw in draws(space)} == {"none"}


def test_a_rule_looks_into_a_part_that_is_chosen_whole():
    space = experiment(
        {
            "model": {
                "choice": [{"name": "mlp"}, {"name": "mlp", "dropout": 0.5}, {"name": "cnn"}]
            },
            "model.norm": {"choice": ["none", "batch"]},
            "forbid": ["model.dropout > 0.3", "model.name == cnn and model.norm == batch"],
        },
        data={"dataset": "digits"},
    ).space
    assert space.size == 3
    found = {(str(draw["model"]), draw["model.norm"]) for draw in draws(space, 100)}
    assert found == {
        ("{'name': 'mlp'}", "none"),
        ("{'name': 'mlp'}", "batch"),
        ("{'name': 'cnn'}", "none"),
    }


NAMES = ["optimizer.name == sgd", "optimizer.nesterov == true", "optimizer.schedule.name == step",
         "optimizer.schedule.drops >= 3", "model.activation == relu", "model.activation != tanh"]  # fmt: skip


@settings(deadline=None, max_examples=25)
@given(st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})") | inner.map(lambda t: f"not ({t})"),
    max_leaves=5,
))  # fmt: skip
def test_a_finite_space_is_counted_as_it_is_allowed(rule):
    free = experiment(THREE_DEEP).space
    every = list(free.combinations(free.dimensions))
    assert len(every) == free.size
    try:
        space = experiment({**THREE_DEEP, "forbid": [rule]}).space
    except SpecError:
        space = None
    from hpo.search.combinations import Combinations

    assert len(every) == Combinations(free).size
    if space is not None:
        assert space.size == sum(space.allows(hparams) for hparams in every) > 0
        assert all(space.allows(hparams) for hparams in draws(space, 5))


def test_a_space_that_rules_leave_next_to_nothing_of_is_refused_when_it_is_drawn_from():
    class Never:
        text, deciding = "never", frozenset({"x"})
        landmarks: ClassVar = {}

        def forbids(self, hparams):
            return True

    space = SearchSpace((Dimension("x", Float(0.0, 1.0)),), rules=(Never(),))
    with pytest.raises(HpoError, match=r"the rules forbid all 10,000 configurations drawn"):
        space.draw(np.random.default_rng(0))


def test_a_thin_part_that_rules_leave_is_taken_and_drawn_from():
    space = experiment(
        {
            "optimizer.learning_rate": {"float": [1e-4, 1e-1], "log": True},
            "model.dropout": {"float": [0.0, 0.5]},
            "forbid": [
                "optimizer.learning_rate > 1.001e-4 or not model.dropout in [0.1, 0.2]",
                "model.dropout <= data.validation",
            ],
        },
        data={"dataset": "digits", "validation": 0.1},
    ).space
    for hparams in draws(space, 3):
        assert hparams["optimizer.learning_rate"] <= 1.001e-4
        assert hparams["model.dropout"] == 0.2


def test_a_rule_names_the_numbers_that_its_leaves_are_compared_with():
    space = experiment(
        {
            "optimizer.learning_rate": {"float": [1e-4, 1e-1]},
            "model.dropout": {"float": [0.0, 0.5]},
            "forbid": [
                "0.01 < optimizer.learning_rate and model.dropout not in [0.1, 0.2]"
                " or model.activation == relu and optimizer.learning_rate < model.dropout"
                " or optimizer.learning_rate > data.validation"
            ],
        },
        data={"dataset": "digits", "validation": 0.1},
    ).space
    found = {path: list(numbers) for path, numbers in space.rules[-1].landmarks.items()}
    assert found["optimizer.learning_rate"] == [0.01, 0.1]
    assert found["model.dropout"] == [0.1, 0.2]


def test_derived_values_reach_the_trial_and_follow_each_other():
    found = experiment(
        {
            "optimizer.learning_rate": {"float": [0.01, 0.1]},
            "optimizer.weight_decay": {"derived": "optimizer.momentum * 2"},
            "optimizer.momentum": {"derived": "optimizer.learning_rate / 2"},
            "data.batch_size": {"derived": "optimizer.learning_rate * 1000"},
        }
    )
    for number, hparams in enumerate(draws(found.space, 5)):
        rate = hparams["optimizer.learning_rate"]
        training = fill(found.training, hparams, number)
        assert training.optimizer.momentum == rate / 2
        assert training.optimizer.weight_decay == rate
        assert training.data.batch_size == round(rate * 1000)
    assert {"optimizer.momentum", "data.batch_size"} <= found.space.varying


def test_a_derived_leaf_is_left_out_where_the_trial_does_not_have_it():
    space = experiment(
        {
            "optimizer.name": {"choice": ["sgd", "adam"]},
            "model.dropout": {"float": [0.0, 0.5]},
            "optimizer.momentum": {"derived": "model.dropout"},
        }
    ).space
    for hparams in draws(space, 20):
        assert ("optimizer.momentum" in hparams) == (hparams["optimizer.name"] == "sgd")


def test_a_condition_on_a_derived_leaf_is_refused():
    with pytest.raises(SpecError, match="is derived: name a leaf that it is derived from"):
        experiment(
            {
                "model.dropout": {"float": [0.0, 0.5]},
                "data.batch_size": {"derived": "model.dropout * 100 + 1"},
                "model.norm": {"choice": ["none", "layer"], "when": {"data.batch_size": 16}},
            }
        )


def test_rules_of_included_spaces_add_to_those_of_the_spec(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "# mine\nmodel.dropout: {float: [0.0, 0.5]}\nforbid:\n  - model.dropout > 0.4\n"
    )
    (tmp_path / "bad.yaml").write_text("# bad\nforbid:\n  - model.dropuot > 0.4\n")
    own = {"include": ["mine"], "forbid": ["model.dropout < 0.1"]}
    space = experiment_from_document({**SPEC, "space": own}, tmp_path).space
    assert [rule.text for rule in space.rules] == ["model.dropout < 0.1", "model.dropout > 0.4"]
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: digits\ndata: {dataset: digits}\nmodel: {name: mlp}\noptimizer: {name: sgd}\n"
        "train: {epochs: 9}\nspace: {include: [mine, bad]}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_experiment(spec)
    assert [line.split("/")[-1][:40] for line in caught.value.mistakes] == [
        "bad.yaml:3: forbid[1]: there is no leaf "
    ]


def test_a_check_shows_rules_and_derived_values():
    space = {
        "model.dropout": {"float": [0.0, 0.5], "prior": 0.1, "adapt": [0.0, 0.8]},
        "model.norm": {"choice": ["none", "layer"]},
        "optimizer.momentum": {"derived": "model.dropout"},
        "forbid": ["model.norm == layer and model.dropout > 0.3"],
    }
    search = {**SPEC["search"], "start": [{"model.norm": "layer"}], "from": ["earlier"]}
    summary = check_summary(experiment(space, search=search))
    text = render(summary)
    assert "model.dropout       0.0 to 0.5, prior 0.1, may move within 0.0 to 0.8\n" in text
    assert "optimizer.momentum  is model.dropout\n" in text
    assert "forbidden  model.norm == layer and model.dropout > 0.3\n" in text
    assert "first      1 known point, then the best of earlier\n" in text
    plain = as_json(summary)
    assert plain["forbidden"] == ["model.norm == layer and model.dropout > 0.3"]
    assert plain["derived"] == {"optimizer.momentum": "model.dropout"}


def test_a_choice_without_rules_is_counted_as_before():
    assert SearchSpace((Dimension("a", Choice(("x", "y"))),)).size == 2
