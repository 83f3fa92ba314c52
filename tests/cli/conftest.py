"""`hpo(...)` runs the command line in this process, as a shell would."""

from __future__ import annotations

import sys
from typing import NamedTuple

import pytest

from hpo.cli import main
from tests.cli.samples import FLOWERS


class Result(NamedTuple):
    """What a shell sees of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def hpo(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

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


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "flowers.yaml"
    path.write_text(FLOWERS)
    return path
