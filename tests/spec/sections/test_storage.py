"""The type of features on a device, and the memory that they may take."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hpo.spec.sections.data import DataSpec


def test_features_are_float32_unless_another_type_is_asked_for() -> None:
    assert DataSpec(dataset="digits").store == "float32"
    spec = DataSpec.model_validate({"dataset": "digits", "store": "uint8", "device_budget": "2KiB"})
    assert (spec.store, spec.device_budget) == ("uint8", 2048)
    with pytest.raises(ValidationError, match="float32"):
        DataSpec.model_validate({"dataset": "digits", "store": "int8"})
