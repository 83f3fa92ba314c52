"""The folders in examples/, each searched with a few trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.spec.load import load_experiment
from tests.checkout import ROOT
from tests.study.whole import Studies

SPECS = sorted((ROOT / "examples").glob("*/*.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_an_example_can_be_searched(path: Path, tmp_path: Path, compile_cache: Path) -> None:
    few = ["search.trials=2", "train.epochs=1", "search.scheduler.name=none"]
    studies = Studies(tmp_path, compile_cache)

    outcome = studies.run(load_experiment(path, few))

    assert outcome.reason == "finished"
    assert outcome.progress.best is not None
