"""A spec for the commands to read, and a model for them to ask."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.cli.samples import FLOWERS
from tests.study.whole import Studies
from tests.trained.tables import trained, write_table


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "flowers.yaml"
    path.write_text(FLOWERS)
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, compile_cache: Path) -> Path:
    """The folder of a model, and of new rows of which two have a city that is new."""
    place = tmp_path_factory.mktemp("models")
    write_table(place / "table.csv")
    trained(Studies(place, compile_cache), place)
    table = pd.read_csv(place / "table.csv")
    table.loc[:1, "city"] = "Paris"
    table.to_csv(place / "new.csv", index=False)
    (place / "table.csv").unlink()
    return place
