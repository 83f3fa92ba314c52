"""The part `compression.activations` of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hpo.errors import SpecError
from hpo.spec.load import load_document
from hpo.spec.sections.compression.activations import Activations, activation_mistakes

PLAIN = {
    "name": "iris",
    "data": {"dataset": "iris"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "adamw", "learning_rate": 0.01},
    "train": {"epochs": 1},
}


@pytest.mark.parametrize(
    ("leaf", "value"),
    [("bits", 1), ("bits", 9), ("bits", 4.0), ("top", 0.0), ("top", 1.1), ("l1", -1.0)],
)
def test_values_that_no_activations_have_are_refused(leaf: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=leaf):
        Activations.model_validate({leaf: value})


def test_what_changes_no_model_of_a_users_own_is_refused() -> None:
    asked = Activations(bits=4, top=0.5)
    text = "does not work with a model of your own (nets.py:Net): remove it"
    assert [*activation_mistakes(asked, "nets.py:Net")] == [
        (("compression", "activations", name), text) for name in ("bits", "top")
    ]
    assert not [*activation_mistakes(asked, None)]
    learned = Activations(name="learned", bits=4)
    assert [path[-1] for path, _ in activation_mistakes(learned, "nets.py:Net")] == ["name", "bits"]
    assert not [*activation_mistakes(learned, None)]
    assert not [*activation_mistakes(Activations(), "nets.py:Net")]


def test_a_step_between_no_levels_is_refused() -> None:
    text = "learned trains the step between levels, and bits are left out: give 2 to 8"
    path = ("compression", "activations", "name")
    assert [*activation_mistakes(Activations(name="learned"), None)] == [(path, text)]
    values = {"compression": {"activations": {"name": "learned"}}}
    spec = {**PLAIN, **values}
    with pytest.raises(SpecError, match=r"compression\.activations\.name: learned trains"):
        load_document(spec, Path())
    # A space may give the bits.
    load_document({**spec, "space": {"compression.activations.bits": {"int": [2, 8]}}}, Path())
