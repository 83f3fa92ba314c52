"""A model of a table, trained once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study.whole import Studies
from tests.trained.tables import trained, write_table


@pytest.fixture(scope="session")
def churn(tmp_path_factory: pytest.TempPathFactory, compile_cache: Path) -> Path:
    """The folder of `table.csv` and of a linear `model` of it."""
    folder = tmp_path_factory.mktemp("churn")
    write_table(folder / "table.csv")
    model = {"name": "mlp", "widths": []}
    trained(Studies(folder, compile_cache), folder, model=model)
    return folder


@pytest.fixture
def studies(tmp_path: Path, compile_cache: Path) -> Studies:
    return Studies(tmp_path, compile_cache)
