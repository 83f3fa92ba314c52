"""The part `compression.weights` of a spec."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hpo.spec.sections.compression.quantisation import Weights


@pytest.mark.parametrize(
    ("leaf", "value"),
    [("name", "float"), ("bits", 1), ("bits", 9), ("bits", 4.0), ("scales", "row"), ("begin", 1.1)],
)
def test_values_that_no_weights_have_are_refused(leaf: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=leaf):
        Weights.model_validate({leaf: value})
