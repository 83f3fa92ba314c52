"""A spec that was searched is trained as its best trial."""

import json
import re

import pytest


def test_a_searched_spec_is_trained_as_its_best_trial(hpo, spec, tmp_path):
    refused = hpo("train", "flowers.yaml", "-o", "model")
    hpo("search", "flowers.yaml", "--quiet")
    best = hpo("export", "flowers").out
    trained = hpo("train", "flowers.yaml", "-o", "model", "--quiet", "--set", "train.seed=0")

    assert refused.code == 2
    assert "may vary: remove space, or use hpo search" in refused.err
    assert trained.code == 0, trained.err
    number, accuracy = re.search(r"# Trial (\d+) .* validation accuracy ([\d.]+)", best).groups()
    assert trained.err.startswith(f"Trains trial {number}, the best of flowers.")
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    assert metrics["validation"]["accuracy"] == pytest.approx(float(accuracy), abs=1e-4)
