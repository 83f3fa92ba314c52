"""The part `compression.sparsity` of a spec."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hpo.spec.sections.compression.sparsity import Sparsity


@pytest.mark.parametrize(
    ("leaf", "value"),
    [("name", "smallest"), ("share", 1.0), ("share", -0.1), ("begin", 1.1), ("scope", "all")],
)
def test_values_that_no_sparsity_has_are_refused(leaf: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=leaf):
        Sparsity.model_validate({leaf: value})
