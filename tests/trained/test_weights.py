"""The weights of a trained model."""

import json
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import HpoError
from hpo.spec.load import experiment_from_document
from hpo.trained.save import Trained, save_trained
from hpo.trained.weights import read_weights, weight_bytes
from tests.documents import SMALL

ABOUT = {"data_fingerprint": "sha"}


def saved(folder, value=1.0, runs=1, classes=("a", "b")):
    weights = {
        seed: {
            "params": {"linears": {0: {"kernel": np.full((2, 3), value, np.float32)}}},
            "variables": {"norms": {0: {"mean": np.zeros(3, np.float32)}}},
        }
        for seed in range(runs)
    }
    splits = {"validation": {"loss": 0.5}, "test": None}
    trained = Trained(splits, (), 1.0, dict.fromkeys(weights, splits), classes=classes)
    save_trained(folder, experiment_from_document(SMALL, Path()), weights, trained, ABOUT)
    return folder


def test_weights_have_their_paths_and_their_classes(tmp_path):
    found = read_weights(saved(tmp_path / "base"), "base")
    (arrays,) = found.runs.values()
    assert arrays.keys() == {"params/linears/0/kernel", "variables/norms/0/mean"}
    assert arrays["params/linears/0/kernel"].tolist() == [[1.0] * 3] * 2
    assert found.classes == ("a", "b")
    assert found.fingerprint == "sha"
    assert read_weights(saved(tmp_path / "plain", classes=()), "plain").classes is None


def test_the_hash_is_that_of_the_numbers(tmp_path):
    first, again, other = (
        read_weights(saved(tmp_path / name, value), name).sha256
        for name, value in (("first", 1.0), ("again", 1.0), ("other", 2.0))
    )
    assert first == again != other


def test_runs_have_the_names_of_their_files_and_count_together(tmp_path):
    one, two = (saved(tmp_path / name, runs=n) for name, n in (("one", 1), ("two", 2)))
    assert read_weights(two, "two").runs.keys() == {"seed-0", "seed-1"}
    assert weight_bytes(two) == 2 * weight_bytes(one) == 2 * 4 * (6 + 3)
    assert read_weights(two, "two").sha256 != read_weights(one, "one").sha256


@pytest.mark.parametrize("damage", ["metrics.json", "weights/_METADATA", "weights/d", "weights"])
def test_a_damaged_folder_is_one_sentence_and_prints_nothing(tmp_path, damage, capfd, caplog):
    folder = saved(tmp_path / "base")
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix().startswith(damage):
            path.write_bytes(b"{")
    with pytest.raises(HpoError, match=r"^model\.from: 'base' cannot be read \(\w+\): train that"):
        read_weights(folder, "base")
    assert (*capfd.readouterr(), caplog.text) == ("", "", "")


def test_a_folder_of_an_own_task_holds_no_weights_of_a_model(tmp_path):
    folder = tmp_path / "base"
    state = {0: {"state": {"w": np.zeros(2, np.float32)}}}
    trained = Trained({"validation": {"loss": 0.5}, "test": None}, (), 1.0)
    save_trained(folder, experiment_from_document(SMALL, Path()), state, trained, {})
    with pytest.raises(HpoError, match="holds no weights of a model"):
        read_weights(folder, "base")
    assert "classes" not in json.loads((folder / "metrics.json").read_text())


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(HpoError, match="is no folder of a trained model"):
        read_weights(tmp_path, ".")
