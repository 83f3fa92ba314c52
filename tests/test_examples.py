"""The folders in examples/, each searched with a few trials."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from hpo.spec.load import load_experiment
from tests.checkout import ROOT
from tests.study.whole import Studies

SPECS = sorted((ROOT / "examples").glob("*/*.yaml"))


@pytest.mark.long
@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_an_example_can_be_searched(path: Path, tmp_path: Path, compile_cache: Path) -> None:
    few = ["search.trials=2", "train.epochs=1", "search.scheduler.name=none"]
    few.append("search.baselines=false")
    few += ["task.filters=2", "task.images=2"] if path.stem == "shapes" else []
    studies = Studies(tmp_path, compile_cache)
    if path.stem == "transfer":
        few.append("train.seeds=1")
        path = Path(shutil.copytree(path.parent, tmp_path / "transfer")) / path.name
        base = load_experiment(path.with_name("base.yaml"), ["train.epochs=1"])
        studies.train(base, path.parent / "base")

    outcome = studies.run(load_experiment(path, few))

    assert outcome.reason == "finished"
    assert outcome.progress.best is not None


@pytest.mark.parametrize("gamma", [0.0, 0.02, 0.5, 2.0])
def test_the_focal_loss_has_a_gradient_where_the_model_is_sure(gamma: float) -> None:
    names = runpy.run_path(str(ROOT / "examples" / "own_loss" / "losses.py"))
    sure, classes = jnp.array([[200.0, 0.0], [0.0, 0.0]]), jnp.array([0, 1])
    gradient = jax.grad(lambda outputs: names["focal"](outputs, classes, gamma).sum())(sure)
    assert jnp.isfinite(gradient).all()
