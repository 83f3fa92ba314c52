"""Overrides: leaves and entries of the space replaced from the command line."""

import pytest

from hpo.space import Choice, Float
from tests.spec.samples import SEARCH, loaded


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("model.dropout=0.3", "training.model.dropout", 0.3),
        ("optimizer.learning_rate=1e-3", "training.optimizer.learning_rate", 1e-3),
        ("optimizer.schedule.warmup=0.2", "training.optimizer.schedule.warmup", 0.2),
        ("optimizer.name=adamw", "training.optimizer.name", "adamw"),  # its momentum goes
        ("model.name=cnn", "training.model.filters", (32, 64)),
        ("model={name: mlp, widths: [3]}", "training.model.widths", (3,)),
        ("search.trials=7", "search.trials", 7),
        ("search.sampler.name=random", "search.sampler.name", "random"),
        ("search.objective.minimize=loss", "search.objective.metric", "loss"),
        ("study.storage=sqlite:///x.db", "study.storage", "sqlite:///x.db"),
        ("name=other", "name", "other"),
    ],
)
def test_an_override_sets_any_leaf(tmp_path, override, path, value):
    found = loaded(tmp_path, SEARCH, override)
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


def test_an_override_can_turn_a_named_data_set_into_a_file(tmp_path):
    overrides = ["data.dataset.csv=my.csv", "data.dataset.target=y"]
    assert loaded(tmp_path, SEARCH, *overrides).training.data.dataset.csv == "my.csv"


@pytest.mark.parametrize(
    ("override", "distribution"),
    [
        ("space.model.dropout.float=[0, 0.3]", Float(0.0, 0.3)),
        ("space.model.dropout=0.3", Choice((0.3,))),
        ("space.model.dropout={choice: [0.1, 0.2]}", Choice((0.1, 0.2))),
        ("space.model.dropout.choice=[0.1, 0.2]", Choice((0.1, 0.2))),
        ("space.model.dropout.step=0.25", Float(0.0, 0.5, step=0.25)),
    ],
)
def test_an_override_changes_an_entry_of_the_space(tmp_path, override, distribution):
    experiment = loaded(tmp_path, "space: {model.dropout: {float: [0.0, 0.5]}}", override)
    assert experiment.space.by_path["model.dropout"].distribution == distribution


def test_overrides_can_include_a_space_and_change_it(tmp_path):
    overrides = ["space.model.dropout.float=[0, 0.1]", "space.include=mlp"]
    experiment = loaded(tmp_path, "", *overrides)
    assert experiment.space.by_path["model.dropout"].distribution == Float(0.0, 0.1)
    assert "model.widths" in experiment.space.by_path
