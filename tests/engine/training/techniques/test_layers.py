"""Names of layers: heads, and arrays that hold weights between units."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.engine.models.abstract import is_kernel
from hpo.engine.training.techniques.layers import is_head


@pytest.mark.parametrize(
    ("name", "axes", "expected"),
    [
        ("linears/0/kernel", 2, True),
        ("convs/0/kernel", 4, True),
        ("heads", 3, True),
        ("embedding/tokens/embedding", 2, True),
        ("linears/0/bias", 1, False),
        ("norms/0/scale", 1, False),
        ("layers/0/bias", 2, False),
        ("layers/0/before", 2, False),
    ],
)
def test_kernels_are_arrays_between_units(name: str, axes: int, expected: bool) -> None:
    assert is_kernel(name, np.zeros((2,) * axes)) is expected


def test_the_head_is_the_last_layer_alone() -> None:
    assert [n for n in ("head/kernel", "head_bias", "heads", "overhead/kernel") if is_head(n)] == [
        "head/kernel",
        "head_bias",
        "heads",
    ]
