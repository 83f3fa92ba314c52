"""`hpo show --plan`: what the programs merge, and how each is run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_SPEC = """
name: plan
data: {dataset: iris, batch_size: 16}
model: {name: mlp}
optimizer: {name: adamw}
train: {epochs: 1}
space:
  model.widths: {choice: [[4], [8], [8, 8]]}
  model.activation: {choice: [relu, tanh]}
search: {sampler: {name: random}, scheduler: {name: none}, objective: {minimize: loss}, trials: 8}
"""


def _hpo(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "hpo", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.long
def test_the_plan_of_a_study_is_shown_and_followed(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(_SPEC)
    _hpo(tmp_path, "search", "plan.yaml", "--quiet")
    plan = json.loads(_hpo(tmp_path, "show", "plan", "--plan", "--json"))
    assert set(plan["merged"]) == {"widths", "activation"}
    assert "instead of" in plan["merging"]
    (program,) = plan["programs"]
    assert (program["form"], program["lanes"] > 0) == ("map", True)
    assert "3 of model.widths" in program["program"]
    assert f"program {program['label']}" in _hpo(tmp_path, "show", "plan", "--plan")

    # The winner, trained on its own, comes to the metric that it had in the merged program.
    winner = json.loads(_hpo(tmp_path, "show", "plan", "--json"))["overview"]["best"]["value"]
    _hpo(tmp_path, "export", "plan", "-o", "best.yaml")
    assert "merged:" in (tmp_path / "best.yaml").read_text()
    _hpo(tmp_path, "train", "best.yaml", "-o", "model", "--quiet")
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    assert metrics["validation"]["loss"] == winner
