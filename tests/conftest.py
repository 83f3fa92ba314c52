"""Settings for all tests: two CPU devices, and folders of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No test asserts a time: a busy machine must not fail one.
settings.register_profile("hpo", deadline=None)
settings.load_profile("hpo")

# Before JAX is first used: as many devices as the smallest machine that we promise to use in full.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled programs, shared by the processes that tests start."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_folders(
    tmp_path_factory: pytest.TempPathFactory, compile_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test reads or writes the user's data, cache or working folder."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HPO_DATA", str(folder / "data"))
    monkeypatch.setenv("HPO_CACHE", str(compile_cache))
    monkeypatch.chdir(folder)
