"""The part `compression.weights` of a spec."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hpo.spec.sections.compression.quantisation import Weights, quantisation_mistakes


@pytest.mark.parametrize(
    ("leaf", "value"),
    [
        ("name", "float"),
        ("bits", 1),
        ("bits", 9),
        ("bits", 4.0),
        ("bases", 5),
        ("scales", "row"),
        ("begin", 1.1),
    ],
)
def test_values_that_no_weights_have_are_refused(leaf: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=leaf):
        Weights.model_validate({leaf: value})


def test_layers_have_bits_of_their_own_only_as_whole_numbers() -> None:
    layers = {"first": 8}
    for name in ("none", "integer"):
        good = Weights.model_validate({"name": name, "layers": layers})
        assert [*quantisation_mistakes(good)] == []
    bases = Weights.model_validate({"name": "bases", "layers": layers})
    ((path, text),) = quantisation_mistakes(bases)
    assert path == ("compression", "weights", "layers")
    assert text == "gives bits to whole numbers, and the name is bases: remove it"
