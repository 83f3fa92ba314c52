"""Specs that load: what the experiment holds."""

import json
from pathlib import Path

import pytest

from hpo.errors import HpoError
from hpo.space import Choice, Condition, Float
from hpo.spec.file.dump import dump_spec
from hpo.spec.load import (
    experiment_from_document,
    load_experiment,
    require_search,
    require_single,
)

SPEC = """
name: digits
data: {dataset: digits}
model: {name: mlp, dropout: 0.1}
optimizer: {name: sgd, momentum: 0.8, schedule: {name: cosine}}
train: {epochs: 9}
"""
SEARCH = "search: {objective: {maximize: accuracy}, trials: 10}\n"


def loaded(folder: Path, text: str, *overrides: str):
    path = folder / "spec.yaml"
    path.write_text(SPEC + text)
    return load_experiment(path, overrides)


def test_the_configs_that_come_with_hpo_load_from_any_folder_unless_it_has_its_own():
    assert load_experiment(Path("configs/digits.yaml")).folder.name == "configs"

    Path("configs").mkdir()
    Path("configs/digits.yaml").write_text(SPEC.replace("epochs: 9", "epochs: 4"))
    assert load_experiment(Path("configs/digits.yaml")).training.train.epochs == 4


def test_a_spec_without_space_and_search_is_a_training_configuration(tmp_path):
    experiment = loaded(tmp_path, "")
    assert len(experiment.space) == 0
    assert experiment.search is None
    assert require_single(experiment) == experiment.training
    with pytest.raises(HpoError, match="add search"):
        require_search(experiment)


def test_a_search_needs_something_that_varies_and_a_training_nothing(tmp_path):
    with pytest.raises(HpoError, match="nothing varies"):
        require_search(loaded(tmp_path, SEARCH))
    searched = loaded(tmp_path, SEARCH + "space: {model.norm: {choice: [none, layer]}}")
    assert require_search(searched) == searched.search
    with pytest.raises(HpoError, match=r"model\.norm may vary"):
        require_single(searched)


def test_a_constant_is_a_choice_of_one(tmp_path):
    space = loaded(tmp_path, "space: {model.norm: layer, model.dropout: {value: 0.2}}").space
    assert [d.distribution for d in space.dimensions] == [Choice(("layer",)), Choice((0.2,))]


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


@pytest.mark.parametrize(
    ("when", "is_kept"),
    [
        ("optimizer.name: sgd", True),
        ("optimizer.name: adam", False),
        ("optimizer.momentum: [0.8, 0.9]", True),
        ("optimizer.nesterov: true", False),  # the default is false
        ("model.kernel: 3", False),  # a perceptron has none
        ("model.widths: [128, 128]", True),  # a list as value
        ("model.widths: [[64], [128, 128]]", True),
    ],
)
def test_a_condition_on_a_fixed_leaf_is_evaluated_at_once(tmp_path, when, is_kept):
    space = loaded(
        tmp_path, f"space: {{model.dropout: {{float: [0, 0.5], when: {{{when}}}}}}}"
    ).space
    assert [d.when for d in space.dimensions] == [None] * is_kept


def test_a_condition_inside_a_chosen_part_becomes_one_on_the_choice(tmp_path):
    text = """
space:
  optimizer.schedule: {choice: [{name: cosine}, {name: step, drops: 3}]}
  optimizer.schedule.factor: {float: [0.1, 0.5], when: {optimizer.schedule.name: step}}
"""
    (_, factor) = loaded(tmp_path, text).space.dimensions
    assert factor.when == Condition("optimizer.schedule", ({"name": "step", "drops": 3},))


def test_a_leaf_in_every_variant_needs_no_condition(tmp_path):
    text = "space: {model.name: {choice: [mlp, cnn]}, model.dropout: {float: [0.0, 0.5]}}"
    assert len(loaded(tmp_path, text).space) == 2


def test_included_spaces_come_first_and_own_entries_replace_theirs(tmp_path):
    (tmp_path / "mine.yaml").write_text("model.dropout: {float: [0.0, 0.5]}\nmodel.norm: layer\n")
    text = "space: {include: mine, model.activation: {choice: [relu, tanh]}, model.dropout: 0.3}"
    experiment = loaded(tmp_path, text)
    assert {d.path: d.distribution for d in experiment.space.dimensions} == {
        "model.dropout": Choice((0.3,)),
        "model.norm": Choice(("layer",)),
        "model.activation": Choice(("relu", "tanh")),
    }
    assert "include" not in experiment.document["space"]


def test_included_entries_for_variants_that_never_come_are_left_out(tmp_path):
    text = "space: {include: optimizer, optimizer.name: {choice: [sgd, adam]}}"
    paths = {dimension.path for dimension in loaded(tmp_path, text).space.dimensions}
    assert "optimizer.momentum" in paths
    assert "optimizer.decay" not in paths  # of rmsprop alone


def test_a_stored_document_loads_back_to_an_equal_experiment(tmp_path):
    text = SEARCH + "space: {include: [optimizer, mlp], optimizer.name: {choice: [sgd, adam]}}"
    experiment = loaded(tmp_path, text, "train.epochs=27", "search.trials=5")
    stored = json.loads(json.dumps(experiment.document))
    assert experiment_from_document(stored, tmp_path) == experiment
    (tmp_path / "again.yaml").write_text(dump_spec(stored))
    assert parsed_space(tmp_path / "again.yaml") == experiment.document["space"]


def parsed_space(path: Path):
    from hpo.spec.file.document import parse_yaml

    return parse_yaml(path.read_text(), "f").values["space"]


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


SCHEDULED = """space:
  optimizer.name: {choice: [sgd, adam]}
  optimizer.schedule: {choice: [{name: constant}, {name: step}, {name: step, drops: 3}]}
  optimizer.schedule.factor: {float: [0.1, 0.5], when: {optimizer.schedule.name: step}}
"""


def test_a_condition_inside_a_chosen_part_looks_at_that_part_whatever_is_chosen_around(tmp_path):
    when = loaded(tmp_path, SCHEDULED).space.by_path["optimizer.schedule.factor"].when
    steps = ({"name": "step"}, {"name": "step", "drops": 3})
    assert when == Condition("optimizer.schedule", steps)


@pytest.mark.parametrize(
    "url",
    ["sqlite:////tmp/a b.db", "sqlite+pysqlite:///~/x.db", "postgresql+psycopg://u:p@host/db"],
)
def test_any_database_url_is_a_storage(tmp_path, url):
    assert loaded(tmp_path, f"study: {{storage: '{url}'}}").study.storage == url


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
