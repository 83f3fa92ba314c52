"""The section `model` that names code of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.errors import SpecError
from hpo.report.check import check_summary, render
from hpo.spec.code.own_model import OwnModel
from hpo.spec.load import experiment_from_document
from hpo.spec.marks import Mark, mark_of
from tests.own_code import own_experiment, write_net

# Any import of it ends the process.
STOPS = "raise SystemExit('the code has run')\n"
NET = """
    raise SystemExit("the code has run")

    class Net(nnx.Module):
        def __init__(
            self,
            inputs,
            width,
            rate: float = 0.1,
            slope: Annotated[float, "static"] = 0.5,
            depth: Annotated[int, "knob"] = 2,
            drop=0,
            sizes=[4, 2],
            *,
            rngs,
        ): ...
    """


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_net(tmp_path, NET)
    return tmp_path


def marks(spec: Any) -> dict[str, Any]:
    leaves = [name for name in type(spec).model_fields if name not in OwnModel.model_fields]
    return {name: mark_of(type(spec), name) for name in leaves}


def test_the_arguments_of_the_constructor_are_leaves_without_running_it(folder):
    model: Any = own_experiment(folder, {"width": 8}).training.model

    assert (model.width, model.rate, model.sizes) == (8, 0.1, (4, 2))
    assert marks(model) == {
        "width": Mark.STATIC,
        "rate": Mark.KNOB,
        "slope": Mark.STATIC,
        "depth": Mark.KNOB,
        "drop": Mark.STATIC,
        "sizes": Mark.STATIC,
    }
    assert (model.own.assumed, model.own.whole) == (("rate",), ("depth",))


def test_the_spec_decides_which_numbers_are_knobs(folder):
    given = {"width": 8, "static": ["rate"], "knobs": ["slope", "width"]}

    model: Any = own_experiment(folder, given).training.model

    assert (marks(model)["rate"], marks(model)["slope"]) == (Mark.STATIC, Mark.KNOB)
    assert (model.own.assumed, model.own.whole) == ((), ("depth",))


def test_a_number_without_a_type_takes_that_of_its_values(folder):
    space = {"model.width": {"float": [0.5, 2.0]}}

    model: Any = own_experiment(folder, {"width": 1, "drop": 0.25}, space).training.model

    assert (model.width, model.drop, model.own.assumed) == (1.0, 0.25, ("width", "rate", "drop"))


def test_equal_documents_give_the_same_class_and_another_file_another(folder):
    first, second = (type(own_experiment(folder, {"width": 8}).training) for _ in range(2))
    write_net(folder, NET.replace("0.1", "0.2"))

    assert first is second
    assert type(own_experiment(folder, {"width": 8}).training) is not first


@pytest.mark.parametrize(
    ("model", "space", "says"),
    [
        ({}, {}, r"model\.width: is missing: nets\.py:Net needs it \(nets\.py:8\)"),
        ({"width": 8, "wdith": 8}, {}, "unknown argument 'wdith'. Did you mean 'width'?"),
        ({"width": 8}, {"model.wdith": [1]}, "unknown argument 'wdith'"),
        ({"width": 8, "rate": "high"}, {}, "rate: cannot be 'high'"),
        ({"width": 8, "static": ["rote"]}, {}, "static: unknown argument 'rote'"),
        ({"width": 8, "static": ["rate"], "knobs": ["rate"]}, {}, "names rate, as static does"),
        ({"python": "nets.py:Nut"}, {}, "has no class or function Nut: it defines Net"),
        ({"python": "nuts.py:Net"}, {}, "there is no file .*nuts.py"),
    ],
)
def test_a_mistake_is_told_with_its_place(folder, model, space, says):
    with pytest.raises(SpecError, match=says):
        own_experiment(folder, model, space or None)


def test_a_study_whose_code_is_missing_or_has_changed_can_still_be_read(folder):
    document = dict(own_experiment(folder, {"width": 8, "rate": 0.2}).document)
    write_net(folder, "class Net:\n    def __init__(self, other): ...\n")
    changed: Any = experiment_from_document(document, folder).training.model
    (folder / "nets.py").unlink()
    missing: Any = experiment_from_document(document, folder).training.model

    assert (changed.width, changed.rate) == (missing.width, missing.rate) == (8, 0.2)
    assert "there is no file" in missing.own.trouble


def test_a_constructor_that_the_source_does_not_show_takes_any_key(tmp_path):
    write_net(tmp_path, "class Net(Base): ...\n")

    experiment = own_experiment(tmp_path, {"depth": 3}, {"model.rate": {"float": [0.0, 0.5]}})

    assert experiment.training.model.depth == 3
    assert "inherits its constructor from Base, so its arguments are unchecked" in render(
        check_summary(experiment)
    )


def test_check_tells_what_would_run_and_which_numbers_are_assumed_to_be_knobs(folder):
    text = render(check_summary(own_experiment(folder, {"width": 8})))

    assert "nets.py:Net (16 lines, sha256 " in text
    assert "model.rate is assumed to be a knob" in text
