"""Settings for all tests: two CPU devices, folders of their own, and the command line."""

from __future__ import annotations

import gc
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main
from hypothesis import settings

from hpo.cli import main
from tests import compiling

# No test asserts a time: a busy machine must not fail one.
settings.register_profile("hpo", deadline=None)
settings.load_profile("hpo")

# Set before JAX is first used: the smallest machine that we support has two cores.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

# Each process of pytest-xdist has a core. Several threads of NumPy or scikit-learn wait for each
# other at full speed: on a busy machine, small fits took five times as long.
for _library in ("MKL", "OMP", "OPENBLAS"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

compiling.begin()

# Each process that a test starts would compile all our modules again, which takes half a second,
# and each run of the tests those of the tests, which takes ten.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compile as the test asks: before its fixtures are made."""
    compiling.choose(is_quick=item.get_closest_marker("optimized") is None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names with the address of an object, which differ between processes of one run."""
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unstable:
        raise pytest.UsageError(f"give this test ids of its own: {unstable[0]}")


def pytest_collection_finish() -> None:
    """Let Python search no garbage among the tests and modules, which live as long as it does.

    JAX makes objects by the million when it traces: the searches took a twentieth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compiled programs, shared by all processes that run tests and that tests start."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        # It holds for fixtures that live longer than a test, too.
        patch.setenv("HPO_CACHE", str(folder / "compiled"))
        patch.setenv("HPO_DATA", str(folder / "data"))
        yield folder / "compiled"


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of new folders. Pytest would list those of all earlier tests for each test's name."""
    above = tmp_path_factory.mktemp("homes")
    return (above / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_folders(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's data, cache or working folder."""
    folder = next(homes)
    folder.mkdir()
    monkeypatch.setenv("HPO_DATA", str(folder / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.chdir(folder)


# Typer makes all commands again for each call of the app, which takes longer than most of them.
made_command = cache(typer.main.get_command)


class Result(NamedTuple):
    """The output and exit code of a command, as a shell sees them."""

    code: int
    out: str
    err: str


@pytest.fixture
def hpo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Result]:
    """`hpo(...)` runs the command line in this process, as a shell would in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(typer.main, "get_command", made_command)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["hpo", *arguments])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return Result(code, *capsys.readouterr())

    return run
