"""A section of a spec that names a function of a user's own."""

from typing import Any

import pytest

from hpo.errors import SpecError
from hpo.spec.code.own_code import arguments_of
from hpo.spec.experiment import Training
from hpo.spec.load import experiment_from_document, load_document
from hpo.spec.marks import Mark, marked_leaves
from tests.documents import SMALL

FOCAL = """
raise SystemExit("a check must not run this")

def focal(outputs, y, gamma=2.0, power: int = 1, *, alpha):
    return outputs
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "losses.py").write_text(FOCAL)
    return tmp_path


def a_loss(**keys: Any) -> dict[str, Any]:
    return {**SMALL, "loss": {"python": "losses.py:focal", **keys}}


def test_the_numbers_of_a_loss_are_knobs_and_its_other_arguments_static(folder):
    training = load_document(a_loss(alpha=0.25), folder).training

    marks = {path: mark for path, mark, _ in marked_leaves(training) if path.startswith("loss.")}
    assert marks == {
        "loss.gamma": Mark.KNOB,
        "loss.power": Mark.STATIC,
        "loss.alpha": Mark.KNOB,
    }
    assert training.loss is not None
    assert arguments_of(training.loss) == {"gamma": 2.0, "power": 1, "alpha": 0.25}
    assert isinstance(training, Training)


def test_a_number_that_a_spec_calls_static_is_static(folder):
    training = load_document(a_loss(alpha=0.25, static=["gamma"]), folder).training

    assert ("loss.gamma", Mark.STATIC, 2.0) in [*marked_leaves(training)]


def test_a_whole_number_that_a_spec_calls_a_knob_is_one(folder):
    training = load_document(a_loss(alpha=0.25, knobs=["power"]), folder).training

    assert ("loss.power", Mark.KNOB, 1) in [*marked_leaves(training)]


def test_equal_documents_have_a_training_of_the_same_class(folder):
    one, other = (load_document(a_loss(alpha=alpha), folder).training for alpha in (0.25, 0.5))
    assert type(one) is type(other)

    (folder / "losses.py").write_text(FOCAL.replace("return", "return -"))
    assert type(load_document(a_loss(alpha=0.25), folder).training) is not type(one)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({}, "loss.alpha: is missing: losses.py:focal needs it (losses.py:4)"),
        (
            {"alpha": 0.25, "gama": 1.0},
            "loss.gama: unknown argument 'gama'. Did you mean 'gamma'? Known arguments: "
            "alpha, gamma, knobs, power, static.",
        ),
        ({"alpha": 0.25, "gamma": "much"}, "loss.gamma: cannot be 'much'"),
        ({"alpha": 0.25, "static": ["gama"]}, "loss.static: unknown argument 'gama'"),
        ({"python": "losses.py:fokal"}, "loss.python: "),
        ({"python": "nowhere.py:focal"}, "loss.python: there is no file"),
    ],
)
def test_what_is_wrong_with_a_loss_is_said_before_it_runs(folder, keys, line):
    with pytest.raises(SpecError) as raised:
        load_document(a_loss(**keys), folder)

    assert line in str(raised.value)


def test_a_space_may_vary_the_arguments_of_a_loss_and_no_others(folder):
    space = {"loss.gamma": {"float": [0.0, 3.0]}}
    experiment = load_document({**a_loss(alpha=0.25), "space": space}, folder)
    assert [*experiment.space.by_path] == ["loss.gamma"]

    with pytest.raises(SpecError, match="gama"):
        load_document({**a_loss(alpha=0.25), "space": {"loss.gama": {"float": [0, 1]}}}, folder)


def test_a_stored_document_can_be_read_where_its_code_is_missing(tmp_path):
    document = {**a_loss(alpha=0.25), "space": {"loss.alpha": {"float": [0.0, 1.0]}}}

    experiment = experiment_from_document(document, tmp_path)

    assert [*experiment.space.by_path] == ["loss.alpha"]


def an_activation(**keys: Any) -> dict[str, Any]:
    model = {"name": "mlp", "activation": {"python": "layers.py:swish", **keys}}
    return {**SMALL, "model": model}


def test_an_activation_is_a_part_of_its_model_and_its_numbers_may_vary(tmp_path):
    (tmp_path / "layers.py").write_text("def swish(x, beta=1.0): ...\n")
    space = {"model.activation.beta": {"float": [0.5, 2.0]}}

    experiment = load_document({**an_activation(), "space": space}, tmp_path)

    assert [*experiment.space.by_path] == ["model.activation.beta"]
    assert ("model.activation.beta", Mark.KNOB, 1.0) in [*marked_leaves(experiment.training)]
    stored = dict(experiment.document)
    (tmp_path / "layers.py").unlink()
    assert experiment_from_document(stored, tmp_path).space == experiment.space


@pytest.mark.parametrize(
    ("keys", "space", "line"),
    [
        ({"bta": 1.0}, {}, "model.activation.bta: unknown argument 'bta'. Did you mean 'beta'?"),
        ({}, {"model.activation": {"choice": ["relu", "tanh"]}}, "space.model.activation: "),
        ({"python": "layers.py:mish"}, {}, "has no class or function mish: it defines swish"),
    ],
)
def test_what_is_wrong_with_an_activation_is_said(tmp_path, keys, space, line):
    (tmp_path / "layers.py").write_text("def swish(x, beta=1.0): ...\n")

    with pytest.raises(SpecError) as raised:
        load_document({**an_activation(**keys), "space": space}, tmp_path)

    assert line in str(raised.value)
