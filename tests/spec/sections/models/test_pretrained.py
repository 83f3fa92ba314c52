"""The folder that a model starts from, as far as a spec and its files tell."""

import json
import re

import pytest
import yaml

from hpo.errors import SpecError
from hpo.spec.load import load_document
from hpo.spec.marks import Mark, mark_of
from hpo.spec.sections.models.images import Cnn
from hpo.spec.sections.models.pretrained import (
    TrialOf,
    folder_mistakes,
    folder_of,
    named_folders,
    named_trials,
)
from hpo.spec.sections.models.tables import Mlp
from tests.documents import SMALL


def document(**model):
    return {**SMALL, "model": {"name": "mlp", **model}}


@pytest.fixture
def base(tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({"name": "base"}))
    (folder / "spec.yaml").write_text("name: base\nmodel: {name: mlp, widths: [8]}\n")
    return tmp_path


def mistakes(experiment):
    found = folder_mistakes(experiment.training.model, experiment.space, experiment.folder)
    return [f"{'.'.join(path)}: {text}" for path, text in found]


def test_every_model_may_start_from_a_folder_and_by_default_draws_its_weights(base):
    assert [mark_of(spec, "from") for spec in (Mlp, Cnn)] == [Mark.HOST, Mark.HOST]
    assert folder_of(load_document(document(), base).training.model) is None
    experiment = load_document(document(**{"from": "base"}), base)
    assert folder_of(experiment.training.model) == "base"
    assert mistakes(experiment) == []


def test_a_space_may_try_several_folders_and_none(base):
    space = {"model.from": {"choice": [None, "other", "base"]}}
    experiment = load_document({**document(**{"from": "base"}), "space": space}, base)
    assert named_folders(experiment.training.model, experiment.space) == ("base", "other")
    assert mistakes(experiment) == [
        "model.from: 'other' is not there: give a folder that hpo train wrote"
    ]


def test_a_folder_by_url_is_not_looked_at_and_may_hold_no_password(base):
    for url, message in (("s3://bucket/model", None), ("s3://me:key@bucket/model", "a password")):
        for parts in ({"model": document(**{"from": url})["model"]}, {"compression": _by(url)}):
            if message is None:
                assert mistakes(load_document({**document(), **parts}, base)) == []
                continue
            with pytest.raises(SpecError, match=message):
                load_document({**document(), **parts}, base)


def _by(url):
    return {"teacher": {"from": url}}


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("bass", None, "'bass' is not there: give a folder that hpo train wrote"),
        (".", None, "'.' is no folder of a trained model: give a folder that hpo train wrote"),
        (
            "base",
            "model: {name: cnn}",
            "'base' holds a model 'cnn', and this is 'mlp': name another",
        ),
    ],
)
def test_a_folder_that_cannot_fit_is_one_sentence(base, name, spec, message):
    if spec is not None:
        (base / "base" / "spec.yaml").write_text(spec)
    assert mistakes(load_document(document(**{"from": name}), base)) == [f"model.from: {message}"]


def test_check_tells_the_line_of_a_folder_that_is_not_there(base, hpo):
    (base / "spec.yaml").write_text(yaml.safe_dump(document(**{"from": "bass"})))
    found = hpo("check", str(base / "spec.yaml"))
    assert found.code == 2
    assert re.search(r"spec\.yaml:\d+: model\.from: 'bass' is not there", found.err)


@pytest.mark.parametrize("spec", ["[", "text", "model: 3"])
def test_a_spec_that_cannot_be_read_is_left_to_the_weights(base, spec):
    (base / "base" / "spec.yaml").write_text(spec)
    assert mistakes(load_document(document(**{"from": "base"}), base)) == []


def test_trials_are_found_wherever_a_spec_names_one_as_a_model():
    first, best = {"study": "digits", "trial": 7}, {"study": "digits"}
    named = {
        "model": {"name": "mlp", "from": first, "width": {"from": best}},
        "compression": {"teacher": {"from": best}},
        "space": {
            "model.from": {"choice": [None, "base", best]},
            "model": {"choice": [{"name": "cnn"}, {"name": "mlp", "from": first}]},
            "compression.teacher.weight": {"float": [0, 1], "when": {"model.from": [first]}},
            "args.model.from": {"choice": [best]},
        },
        "search": {"start": [{}, {"model.from": best}], "from": best},
        "data": {"from": best},
    }
    one, other = "model.from", "compression.teacher.from"
    assert named_trials(named) == {
        ("model", "from"): (one, TrialOf(**first)),
        ("compression", "teacher", "from"): (other, TrialOf(**best)),
        ("space", "model.from", "choice", 2): (one, TrialOf(**best)),
        ("space", "model", "choice", 1, "from"): (one, TrialOf(**first)),
        ("space", "compression.teacher.weight", "when", "model.from", 0): (one, TrialOf(**first)),
        ("search", "start", 1, "model.from"): (one, TrialOf(**best)),
    }


def test_a_trial_may_be_among_the_values_and_null_and_rules_go_on_as_before(base):
    space = {
        "model.from": {"choice": [None, "base", {"study": "digits"}]},
        "model.dropout": {"float": [0.0, 0.3]},
        "forbid": ["model.from == 'base' and model.dropout > 0.2"],
    }
    parts = {"compression": {"teacher": {"from": None}}, "space": space}
    experiment = load_document({**document(**{"from": None}), **parts}, base)
    assert folder_of(experiment.training.model) is None
    assert named_folders(experiment.training.model, experiment.space) == ("base",)
    assert mistakes(experiment) == []


def test_a_folder_within_a_whole_model_is_looked_at_too(base):
    models = [{"name": "mlp"}, {"name": "mlp", "from": "bass"}]
    experiment = load_document({**document(), "space": {"model": {"choice": models}}}, base)
    assert mistakes(experiment) == [
        "model.from: 'bass' is not there: give a folder that hpo train wrote"
    ]
