"""The files of the weights that a search keeps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import HpoError
from hpo.study.kept.files import (
    Kept,
    KeptTrial,
    check_keeping,
    kept_folder,
    prune_kept,
    read_kept,
    write_kept,
)

METRICS = [{"loss": 0.5}, {"loss": 0.1 + 0.2}]
# A metric of the user's own may have no value.
WITH_NAN = [{"loss": 0.5, "own": math.nan}]


def a_trial(number: int, metrics: list[dict[str, float]] = METRICS) -> Kept:
    states = {
        "0": {"params": np.arange(3, dtype=np.float32), "key": np.array([1, 2], np.uint32)},
        "0.1": {"params": np.full(3, number, np.float32), "key": np.array([3, 4], np.uint32)},
    }
    curves = {"0": metrics, "0.1": metrics}
    return Kept(number, metrics, curves, states, "float32", {"versions": {"jax": "1"}})


def test_the_end_of_a_trial_is_read_as_it_was_written_and_that_of_another_is_not(url: str) -> None:
    folder = kept_folder(url, "digits")
    assert read_kept(folder, 7) is None
    name = write_kept(folder, a_trial(7))
    assert folder.path.parent.name == "hpo.db.weights"
    found = KeptTrial(url, "digits", 7, METRICS).read()
    assert found is not None
    assert found[:3] == a_trial(7)[:3]
    assert found[4:] == a_trial(7)[4:]
    assert found.predictions is None
    for key, state in a_trial(7).states.items():
        for part, leaf in state.items():
            np.testing.assert_array_equal(found.states[key][part], leaf)
    # Another study may have taken the name.
    assert KeptTrial(url, "digits", 7, [{"loss": 0.4}]).read() is None
    assert KeptTrial("postgresql://server/db", "digits", 7, METRICS).read() is None
    write_kept(folder, a_trial(9, WITH_NAN))
    assert KeptTrial(url, "digits", 9, [{"own": float("nan"), "loss": 0.5}]).read() is not None
    predictions = np.array([[0.25, 0.75], [1.0, 0.1 + 0.2]])
    write_kept(folder, a_trial(8)._replace(predictions=predictions))
    with_them = read_kept(folder, 8)
    assert with_them is not None
    np.testing.assert_array_equal(with_them.predictions, predictions)
    assert with_them.states.keys() == a_trial(8).states.keys()
    content = bytearray((folder.path / name).read_bytes())
    content[-1] ^= 1
    (folder.path / name).write_bytes(content)
    assert read_kept(folder, 7) is None


def test_only_the_newest_file_of_a_trial_and_those_of_the_best_stay(url: str) -> None:
    folder = kept_folder(url, "digits")
    for number in (1, 2, 30):
        write_kept(folder, a_trial(number))
    folder = kept_folder(url, "digits")  # as a run finds it that goes on
    newest = write_kept(folder, a_trial(30, [{"loss": 0.25}]))
    (folder.path / "notes.txt").write_text("mine")
    prune_kept(folder, {2, 30}, newest)
    assert {path.name.partition("-")[0] for path in folder.path.iterdir()} == {
        "2",
        "30",
        "notes.txt",
    }
    assert newest in folder.names()
    assert len(folder.names()) == 2


def test_weights_are_kept_beside_a_file_alone_and_never_through_a_link(
    url: str, tmp_path: Path
) -> None:
    check_keeping(url, "digits")
    with pytest.raises(HpoError, match=r"^search.keep_weights: weights lie .* on a server: write"):
        check_keeping("postgresql://me:secret@server/db", "digits")
    (tmp_path / "hpo.db.weights").symlink_to(tmp_path)
    with pytest.raises(HpoError, match=r"hpo.db.weights: is a link"):
        check_keeping(url, "digits")
