"""The part `compression.activations` of a spec."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hpo.spec.sections.compression.activations import Activations, activation_mistakes


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
    assert not [*activation_mistakes(Activations(), "nets.py:Net")]
