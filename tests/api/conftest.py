"""A spec for studies that train in no time."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.api.processes import Log
from tests.cli.samples import FLOWERS


@pytest.fixture
def flowers() -> dict:
    """The spec as plain values."""
    return yaml.safe_load(FLOWERS)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spec as a file in the working folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("flowers.yaml")
    path.write_text(FLOWERS)
    return path


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """The log of the study in the working folder."""
    return Log(tmp_path / "hpo.db")
