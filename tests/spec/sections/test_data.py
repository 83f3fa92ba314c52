"""The section data."""

from __future__ import annotations

from hpo.spec.sections.data import DataSpec


def test_a_budget_may_be_written_either_way():
    assert DataSpec(dataset="iris").device_budget == "auto"
    assert DataSpec(dataset="iris", device_budget="2MiB").device_budget == 2 << 20
