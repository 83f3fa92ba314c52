"""The packed weights in the folder of a trained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.engine.training.compression.packing import leaves
from hpo.errors import HpoError
from hpo.spec.sections.compression.section import Compression
from hpo.trained.model import load_model
from hpo.trained.packed import is_packed, read_packed, with_arrays, write_packed
from hpo.trained.predict import read_new
from hpo.trained.weights import read_weights
from tests.study.whole import Studies
from tests.trained.tables import an_experiment, rows_of, trained, write_rows, write_table

SMALL: dict[str, Any] = {
    "weights": {"name": "integer", "bits": 3},
    "sparsity": {"name": "magnitude", "share": 0.5},
}
HEAD = {"kernel": np.float32([[0, 2, -6], [4, 0, 0]]), "bias": np.ones(3, np.float32)}
TREE: dict[str, Any] = {"params": {"head": HEAD}, "variables": {}}


@pytest.fixture
def folder(studies: Studies, tmp_path: Path) -> Path:
    write_table(tmp_path / "table.csv")
    return trained(studies, tmp_path, compression=SMALL)


def test_a_compressed_model_answers_from_its_folder_as_it_was_judged(
    folder: Path, tmp_path: Path
) -> None:
    model = load_model(folder, "cpu")
    rows = rows_of(an_experiment(tmp_path), "validation")
    file = write_rows(tmp_path / "table.csv", rows, tmp_path / "rows.csv")
    stored = json.loads((folder / "metrics.json").read_text())["metrics"]["validation"]
    assert model.score(read_new(model, file, with_target=True).source) == stored
    # Seven values of 3 bits; another model starts from the same arrays.
    weights = read_weights(folder, "model").runs[""]
    for name in ("linears/0", "head"):
        assert len(np.unique(weights[f"params/{name}/kernel"])) <= 7
    assert len(np.unique(weights["params/linears/0/bias"])) == 4

    index = json.loads((folder / "weights" / "index.json").read_text())
    (folder / "weights" / "index.json").write_text(json.dumps(index[:-1]))
    with pytest.raises(HpoError, match=r"is damaged \(has \d+ bytes instead of \d+\): train the"):
        load_model(folder, "cpu")
    (folder / "weights" / "index.json").write_text("{")
    with pytest.raises(HpoError, match=r"is damaged .*: train the model again"):
        load_model(folder, "cpu")


def test_a_model_of_trained_steps_answers_from_its_folder_as_it_was_judged(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    parts = {"weights": {"name": "learned", "bits": 3, "scales": "channel"}}
    model = load_model(trained(studies, tmp_path, compression=parts), "cpu")
    rows = rows_of(an_experiment(tmp_path), "validation")
    file = write_rows(tmp_path / "table.csv", rows, tmp_path / "rows.csv")
    stored = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    assert model.score(read_new(model, file, with_target=True).source) == stored["validation"]
    kernel = read_weights(tmp_path / "model", "model").runs[""]["params/head/kernel"]
    assert all(len(np.unique(abs(unit))) <= 4 for unit in kernel.T)


def test_arrays_of_a_tree_come_back_by_their_paths(tmp_path: Path) -> None:
    write_packed(tmp_path / "weights", TREE, Compression.model_validate(SMALL))
    assert is_packed(tmp_path / "weights")
    assert not is_packed(tmp_path)
    found = with_arrays(TREE, read_packed(tmp_path / "weights"))
    for (name, array), (other, own) in zip(leaves(found), leaves(TREE), strict=True):
        assert name == other
        np.testing.assert_array_equal(array, own)
    # A scale, six bits that say which are 0, the others of three bits, and three biases.
    assert (tmp_path / "weights" / "packed.bin").stat().st_size == 4 + 1 + 2 + 12


def test_the_weights_of_a_diverged_training_are_kept_as_they_are(tmp_path: Path) -> None:
    head = {**HEAD, "kernel": np.float32([[np.nan, 1.5, np.inf]])}
    tree = {"params": {"head": head}}
    write_packed(tmp_path / "weights", tree, Compression.model_validate(SMALL))
    found = read_packed(tmp_path / "weights")["params/head/kernel"]
    np.testing.assert_array_equal(found, head["kernel"])


@pytest.mark.parametrize(
    "text",
    [
        '[{"name": "a", "shape": [], "type": "float32", "bits": 3, "by_channel": true}]',
        '[{"name": "a", "shape": [3], "type": "S0"}]',
        '[{"name": "a", "shape": [3], "type": "O"}]',
        '[{"name": "a", "shape": [3], "type": "V1000000000", "has_bitmap": true}]',
        '[{"name": "a", "shape": [3], "type": "M8[s]"}]',
        '[{"name": "a", "shape": [549755813888]}]',  # 2 TB that the file does not hold
        '[{"name": "a", "shape": [549755813888], "bits": 4}]',
        '[{"name": "a", "shape": [549755813888], "has_bitmap": true}]',
        "[" * 100_000,
    ],
)
def test_an_index_that_no_model_has_is_refused(tmp_path: Path, text: str) -> None:
    write_packed(tmp_path / "weights", TREE, Compression.model_validate(SMALL))
    (tmp_path / "weights" / "index.json").write_text(text)
    with pytest.raises((ValueError, TypeError)):
        read_packed(tmp_path / "weights")
