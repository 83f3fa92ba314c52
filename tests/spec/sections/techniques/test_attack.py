"""What a spec may say of attacks and of the metric that judges by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.errors import SpecError
from hpo.spec.load import load_experiment

_SPEC = """
name: robust
data: {dataset: iris}
model: {name: mlp}
optimizer: {name: sgd}
train: {epochs: 2, metrics: [accuracies]}
"""


def _load(folder: Path, metrics: str, attack: str):
    text = _SPEC.replace("accuracies", metrics) + f"attack: {attack}\n"
    (folder / "s.yaml").write_text(text)
    return load_experiment(folder / "s.yaml")


def test_robust_accuracy_needs_the_size_of_the_attack(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"robust_accuracy needs attack\.judge_epsilon: write it"):
        _load(tmp_path, "robust_accuracy", "{epsilon: 0.1}")
    found = _load(tmp_path, "robust_accuracy", "{judge_epsilon: 0.1}")
    assert found.training.train.metrics == ("robust_accuracy",)
