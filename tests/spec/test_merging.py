"""What a spec may list for its programs to merge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from hpo.registry import MODELS
from hpo.spec.merging import Merged, served
from tests.engine.samples import a_training


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


@pytest.mark.parametrize(
    ("needs", "batch_sizes", "widths"),
    [
        ((), (8, 16), ((8,), (4,), (4, 4))),
        (("whole batch",), None, ((8,), (4,), (4, 4))),
        (("same depth",), (8, 16), ((8,), (4,))),
        (("whole batch", "same depth"), None, ((8,), (4,))),
    ],
)
def test_the_needs_of_a_model_decide_what_its_program_serves(
    monkeypatch: pytest.MonkeyPatch, needs: Any, batch_sizes: Any, widths: Any
) -> None:
    monkeypatch.setitem(MODELS, "mlp", replace(MODELS["mlp"], needs=needs))
    merged = {"batch_size": [8, 16], "widths": [[8], [4], [4, 4]]}
    found = served(a_training(train={"epochs": 1, "merged": merged}))
    assert found.get("data.batch_size") == batch_sizes
    assert found["model.widths"] == widths
