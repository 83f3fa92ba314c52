"""The JSON Schema of a spec takes what `hpo` takes, and explains it."""

from pathlib import Path

import pytest

from hpo.spec.experiment import SpecFile, Training
from hpo.spec.file.document import parse_yaml
from hpo.spec.reference.json_schema import json_schema
from hpo.spec.schema import all_leaves, variants_of
from hpo.spec.sections.search import SearchSpec
from hpo.spec.space.entries import ENTRY_KEYS
from tests.checkout import ROOT
from tests.spec.reference.validator import broken

SCHEMA = json_schema()
TRAINING = SCHEMA["$defs"]["TrainingFile"]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))
SHIPPED = ROOT / "configs" / "schema.json"
SPEC = """\
name: x
data: {dataset: {csv: a.csv, target: y}, device_budget: 2GiB}
model: {name: mlp, widths: [8]}
optimizer: {name: sgd, clip_norm: null, schedule: {name: step, drops: 2}}
train: {epochs: 9, metrics: [auroc], changes: [{after: 2, hparams: {optimizer.learning_rate: 0.1}}]}
space:
  include: [optimizer]
  forbid: [model.dropout > 0.4]
  model.name: {choice: [mlp, cnn]}
  model.dropout: {float: [0.0, 0.5], when: {model.name: mlp}, prior: 0.1}
  optimizer.learning_rate: {float: [1.0e-3, 0.1], log: true, adapt: [1.0e-4, 1.0]}
  optimizer.weight_decay: {derived: optimizer.learning_rate * 0.1}
  optimizer.momentum: 0.9
search:
  scheduler: {name: optuna, pruner: {name: patient, patience: 2, wrapped_pruner: {name: median}}}
  objective: [{maximize: accuracy}, {minimize: parameters}]
  constraints: [{metric: parameters, at_most: 1000}]
  trials: 10
  timeout: 1h30m
  from: [before]
"""


def faults(text):
    """What is wrong with a spec, by the schema."""
    return list(broken(parse_yaml(text, "spec").values, SCHEMA, SCHEMA))


COMMAND = """\
name: x
command:
  run: [python, train.py, --lr, "{lr}", --out, "{folder}"]
  folder: runs
  values: {lr: 0.1, layers: 2}
  env: {SEED: "{seed}"}
  results: {pattern: "loss (?P<val_loss>.+)"}
  slots: {gpu: 0.5}
  grace: 3s
  time_limit: 10m
  memory_limit: 2GiB
train: {epochs: 9, seeds: 2}
space: {lr: {float: [1.0e-3, 1.0], log: true}, layers: {int: [1, 3]}}
search: {objective: {minimize: val_loss}, constraints: [{metric: size, at_most: 9}], trials: 4}
"""
FUNCTION = """\
name: x
objective: {python: "train.py:objective", workers: 2}
space: {rate: {float: [0.0, 1.0]}}
search: {objective: [{minimize: loss}, {maximize: score}], trials: 4}
"""
TASK = """\
name: x
data: {python: "data.py:load", path: a.txt, batch_size: 8}
task: {python: "vae.py:Task", latent: 8}
train: {epochs: 9, lanes: 4}
space:
  task.beta: {float: [0.1, 4.0], log: true}
  data.batch_size: {choice: [8, 16]}
search: {objective: {minimize: bound}, trials: 4}
"""


@pytest.mark.parametrize("path", [*CONFIGS, *EXAMPLES], ids=lambda path: path.name)
def test_every_shipped_config_and_example_fits_the_schema(path):
    assert faults(path.read_text()) == []


def test_every_kind_of_value_fits_the_schema():
    assert faults(SPEC) == []


def test_a_model_of_the_users_own_may_have_any_leaves():
    text = (ROOT / "examples" / "own_model" / "own.yaml").read_text()

    assert faults(text) == []
    assert faults(text.replace("model.rate: {float", "model.rate: {flaot")) != []
    assert faults(text.replace("model.rate:", "optimizer.rate:")) != []


@pytest.mark.parametrize("text", [COMMAND, FUNCTION, TASK])
def test_every_kind_of_own_code_fits_the_schema(text):
    assert faults(text) == []


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (COMMAND, "folder: runs", "foldr: runs"),
        (COMMAND, "  folder: runs", '  python: "train.py:objective"'),  # one of both
        (COMMAND, "10m", "ten minutes"),
        (COMMAND, "2GiB", "2Gib"),
        (COMMAND, "gpu: 0.5", "cpu: 1"),
        (COMMAND, "results: {pattern", "results: {patern"),
        (COMMAND, "seeds: 2", "precision: bfloat16"),
        (COMMAND, "lr: {float", "lr: {flaot"),
        (COMMAND, "train: {", "model: {name: mlp}\ntrain: {"),
        (COMMAND, "train: {", "task: {python: 'a.py:Task'}\ntrain: {"),
        (FUNCTION, "workers", "slots_"),
        (FUNCTION, '{python: "train.py:objective", workers: 2}', "{workers: 2}"),
        (FUNCTION, "space:", "optimizer: {name: adam}\nspace:"),
        (TASK, "  task.beta", "  model.beta"),
        (TASK, "data.batch_size", "data.batchsize"),
        (TASK, "task: {python", "task: {pyhton"),
        (TASK, "lanes: 4", "precision: bfloat16"),
        (TASK, "train: {", "optimizer: {name: adam}\ntrain: {"),
        (TASK, "batch_size: 8}", "batch_size: none}"),
        (TASK, "path: a.txt", "dataset: iris"),
    ],
)
def test_a_mistake_in_a_file_of_own_code_does_not_fit_the_schema(text, old, new):
    assert old in text
    assert faults(text.replace(old, new)) != []


def test_data_of_the_users_own_are_written_long_or_short():
    whole = (ROOT / "examples" / "own_loss" / "saddle.yaml").read_text()
    start, end = whole.index("data:\n"), whole.index("model:")
    short = 'data: {python: "data.py:load", path: saddle.txt, least: -0.5, batch_size: 16}\n'

    assert faults(whole[:start] + short + whole[end:]) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: mlp, widths", "name: mlp, width"),
        ("widths: [8]", "widths: [0]"),
        ("name: sgd,", "name: sdg,"),
        ("epochs: 9", "epochs: many"),
        ("2GiB", "2Gib"),
        ("1h30m", "1h30"),
        ("maximize: accuracy", "maximize: acuracy"),
        ("metrics: [auroc]", "metrics: [accuracy]"),  # a task reports it already
        ("metric: parameters", "metric: parametres"),
        ("dataset: {csv: a.csv, target: y}", "dataset: digit"),
        ("  model.dropout: {float", "  model.dropuot: {float"),
        ("float: [0.0, 0.5]", "float: [0.0]"),
        ("[0.0, 0.5], when", "[0.0, 0.5], choice: [1], when"),
        ("name: x\n", ""),
        ("trials: 10\n  ", ""),
    ],
)
def test_a_mistake_does_not_fit_the_schema(old, new):
    assert old in SPEC
    assert faults(SPEC.replace(old, new)) != []


def test_every_field_says_what_it_is_for():
    sections = {"": SCHEMA, **SCHEMA["$defs"]}
    silent = {
        f"{name}.{field}"
        for name, section in sections.items()
        for field, schema in section.get("properties", {}).items()
        if field != "name" and not schema.get("description") and "const" not in schema
    }
    assert silent == set()


def test_what_may_vary_and_what_recompiles_is_marked():
    model = SCHEMA["$defs"]["Mlp"]["properties"]
    train = SCHEMA["$defs"]["TrainSpec"]["properties"]

    def marks(schema):
        return schema.get("x-hpo-varies"), schema.get("x-hpo-recompiles")

    assert marks(model["widths"]) == (True, True)
    assert marks(model["dropout"]) == marks(model["init"]) == (True, False)
    assert marks(train["epochs"]) == (False, None)
    assert marks(SCHEMA["$defs"]["Tpe"]["properties"]["startup_trials"]) == (None, None)
    assert model["dropout"]["description"].endswith("May vary without compiling again.")


def test_defaults_are_those_of_the_spec():
    assert SCHEMA["$defs"]["Mlp"]["properties"]["widths"]["default"] == [128, 128]
    assert SCHEMA["$defs"]["SearchSpec"]["properties"]["sampler"]["default"] == {"name": "auto"}
    assert "default" not in SCHEMA["$defs"]["TrainSpec"]["properties"]["epochs"]


def test_the_space_takes_every_leaf_that_may_vary_and_no_other():
    paths = TRAINING["properties"]["space"]["properties"].keys()

    assert {"include", "forbid", "model", "model.name", "model.dropout"} <= paths
    assert not {"train.epochs", "data", "data.dataset"} & paths
    assert paths - {"include", "forbid"} <= {path for path, _ in all_leaves(Training)}


def test_entries_of_the_space_take_the_keys_that_are_read():
    (entry, _constant) = SCHEMA["$defs"]["SpaceEntry"]["anyOf"]
    assert set(entry["properties"]) == set(ENTRY_KEYS)


def test_every_variant_has_a_definition_of_its_own():
    for spec, field in ((SearchSpec, "sampler"), (SearchSpec, "scheduler"), (Training, "model")):
        classes = {kind.__name__ for kind in variants_of(spec, field).specs.values()}
        assert classes <= SCHEMA["$defs"].keys()
    assert set(TRAINING["properties"]) == set(SpecFile.model_fields)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_tells_editors_where_its_schema_lies(path):
    key, _, place = path.read_text().splitlines()[0].partition("$schema=")
    assert key == "# yaml-language-server: "
    assert path.parent / Path(place) == SHIPPED
