"""What a spec may list for its programs to merge."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hpo.spec.merging import Merged


@pytest.mark.parametrize(
    ("merged", "said"),
    [
        ({"bounds": [8]}, "list widths or dense"),
        ({"activation": ["relu", "tanh"], "bounds": [8]}, "list widths or dense"),
        ({"widths": [[4], [16]], "bounds": [8, 4]}, r"bounds \[8, 4\] do not rise"),
        ({"dense": [4, 16], "bounds": [8, 8]}, r"bounds \[8, 8\] do not rise"),
        ({"dense": [4, 16], "bounds": [0]}, "greater than"),
    ],
)
def test_bounds_are_of_sizes_and_rise(merged: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Merged.model_validate(merged)
