"""The section `compression` of a spec."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.spec.experiment import Training
from hpo.spec.sections.compression.section import Compression


def test_nothing_is_compressed_by_default() -> None:
    assert Compression().sparsity.name == Compression().weights.name == "none"
    assert Training.model_fields["compression"].default == Compression()


@pytest.mark.parametrize(
    ("sparsity", "weights", "has_zeros", "packs"),
    [
        ({}, {}, False, False),
        ({"name": "magnitude"}, {}, False, False),
        ({"name": "magnitude", "share": 0.5}, {}, True, True),
        ({"name": "n_of_m"}, {}, True, True),
        ({"name": "kept"}, {}, True, True),
        ({}, {"name": "ternary"}, False, True),
    ],
)
def test_weights_are_packed_where_some_are_0_or_have_few_bits(
    sparsity: dict[str, Any], weights: dict[str, Any], has_zeros: bool, packs: bool
) -> None:
    found = Compression.model_validate({"sparsity": sparsity, "weights": weights})
    assert (found.has_zeros, found.packs) == (has_zeros, packs)
