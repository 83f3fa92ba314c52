"""The section `compression` of a spec."""

from __future__ import annotations

from hpo.spec.experiment import Training
from hpo.spec.sections.compression.section import Compression


def test_nothing_is_compressed_by_default() -> None:
    assert Compression().sparsity.name == Compression().weights.name == "none"
    assert Training.model_fields["compression"].default == Compression()
