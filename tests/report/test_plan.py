"""`hpo show --plan`: what the programs merge, and how each is run."""

from __future__ import annotations

import json

import pytest

_SPEC = """
name: plan
data: {dataset: iris, batch_size: 16}
model: {name: mlp}
optimizer: {name: adamw}
train: {epochs: 1}
space:
  model.widths: {choice: [[4], [8, 8]]}
  model.activation: {choice: [relu, tanh]}
search:
  sampler: {name: random}
  scheduler: {name: none}
  objective: {minimize: loss}
  baselines: false
  trials: 8
"""


@pytest.mark.long
def test_the_plan_of_a_study_is_shown_and_followed(tmp_path, hpo):
    (tmp_path / "plan.yaml").write_text(_SPEC)
    assert hpo("search", "plan.yaml", "--quiet").code == 0
    plan = json.loads(hpo("show", "plan", "--plan", "--json").out)
    assert set(plan["merged"]) == {"widths", "activation"}
    assert "instead of" in plan["merging"]
    (program,) = plan["programs"]
    assert (program["form"], program["lanes"] > 0) == ("map", True)
    assert "2 of model.widths" in program["program"]
    assert f"program {program['label']}" in hpo("show", "plan", "--plan").out

    # The winner, trained on its own, comes to the metric that it had in the merged program.
    winner = json.loads(hpo("show", "plan", "--json").out)["overview"]["best"]["value"]
    assert hpo("export", "plan", "-o", "best.yaml").code == 0
    assert "merged:" in (tmp_path / "best.yaml").read_text()
    assert hpo("train", "best.yaml", "-o", "model", "--quiet").code == 0
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    assert metrics["validation"]["loss"] == winner
