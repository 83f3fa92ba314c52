"""A spec for the commands to read."""

from __future__ import annotations

import pytest

from tests.cli.samples import FLOWERS


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "flowers.yaml"
    path.write_text(FLOWERS)
    return path
