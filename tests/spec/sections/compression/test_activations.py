"""The part `compression.activations` of a spec."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hpo.spec.sections.compression.activations import Activations


@pytest.mark.parametrize(
    ("leaf", "value"),
    [("bits", 1), ("bits", 9), ("bits", 4.0), ("top", 0.0), ("top", 1.1), ("l1", -1.0)],
)
def test_values_that_no_activations_have_are_refused(leaf: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=leaf):
        Activations.model_validate({leaf: value})
