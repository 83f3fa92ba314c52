"""What a caller may hand in, and how it is refused."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from hpo.api.asking import experiment_of, override_texts, plain_spec, search_overrides
from hpo.errors import HpoError, SpecError
from tests.cli.samples import FLOWERS


def test_a_document_is_the_same_experiment_as_its_file(spec, flowers):
    assert experiment_of(flowers).written_out() == experiment_of(spec).written_out()


def test_a_document_may_include_spaces_and_is_left_as_it_is(flowers):
    flowers["space"] = {"include": ["optimizer"]}
    before = yaml.safe_dump(flowers)
    assert "optimizer.learning_rate" in experiment_of(flowers).space.by_path
    assert yaml.safe_dump(flowers) == before


def test_every_mistake_of_a_document_is_told(flowers):
    flowers["model"]["widths"] = [0]
    flowers["optimizer"]["name"] = "adma"
    with pytest.raises(SpecError) as caught:
        experiment_of(flowers)
    assert len(caught.value.mistakes) == 2
    assert any("Did you mean 'adam'?" in line for line in caught.value.mistakes)


def test_overrides_as_the_command_line_has_them_are_refused_in_a_sentence():
    texts = ["train.epochs=81"]
    with pytest.raises(HpoError, match=r"^overrides: are paths with values, not "):
        override_texts(texts)


def test_overrides_replace_leaves_by_their_paths(flowers):
    overrides = {
        "train.epochs": 3,
        "optimizer.weight_decay": 1e-5,
        "model.widths": (4, np.int64(5)),
        "model.activation": "tanh",
        "space.model.dropout": {"float": [0.0, np.float64(0.25)]},
        "search.timeout": None,
    }
    flowers["optimizer"]["name"] = "adamw"
    experiment = experiment_of(flowers, override_texts(overrides), trials=7, timeout="2m")
    training, search = experiment.training, experiment.search
    assert (training.train.epochs, training.optimizer.weight_decay) == (3, 1e-5)
    assert (training.model.widths, training.model.activation) == ((4, 5), "tanh")
    assert experiment.space.by_path["model.dropout"].distribution.high == 0.25
    assert (search.trials, search.timeout) == (7, 120.0)


def test_a_document_may_hold_numpy_numbers_tuples_and_paths():
    document = {"data": {"dataset": {"csv": Path("t.csv")}}, "widths": (np.int64(8), 16)}
    assert plain_spec(document) == {"data": {"dataset": {"csv": "t.csv"}}, "widths": [8, 16]}


def test_what_yaml_cannot_hold_is_refused():
    with pytest.raises(HpoError, match=r"^spec: YAML cannot hold \{1\} \(set\): use numbers, "):
        plain_spec({"model": {1}})


def test_yaml_text_is_no_path():
    with pytest.raises(HpoError, match=r"^spec: is YAML text: give the file's path, or yaml\."):
        experiment_of(FLOWERS)


@pytest.mark.parametrize(
    ("timeout", "override"), [("10m", "600.0"), ("90", "90.0"), (90, "90"), (1.5, "1.5")]
)
def test_a_timeout_is_a_duration_or_seconds(timeout, override):
    (text,) = search_overrides(None, timeout)
    assert float(text.partition("=")[2]) == float(override)


@pytest.mark.parametrize("timeout", ["soon", 0, -1.0, float("inf")])
def test_a_timeout_that_is_none_is_refused(timeout):
    with pytest.raises(HpoError, match=rf"^--timeout {timeout}: "):
        search_overrides(None, timeout)
