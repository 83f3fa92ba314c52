"""Code of the user's own in a study: its hash, and the refusal to run another version."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.own_files import own_folder
from hpo.study.storage.trust import (
    check_code,
    check_exported,
    check_known,
    code_of,
    remember_code,
    tell_code,
)
from tests.own_code import own_experiment, write_net


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_net(tmp_path, "class Net:\n    def __init__(self, rate=0.1): ...\n")
    return tmp_path


def training(folder, **model):
    return own_experiment(folder, model).training


def test_the_hash_of_the_file_is_kept_and_what_runs_is_said(folder):
    said: list[str] = []

    known = code_of(training(folder))
    tell_code(training(folder), said.append)

    assert [*known] == ["nets.py:Net"]
    assert said == [f"Runs nets.py:Net (2 lines, sha256 {known['nets.py:Net'][:8]})."]


def test_other_code_than_the_studys_runs_only_when_trusted(folder):
    then = code_of(training(folder))
    check_code("own", then, training(folder), is_trusted=False)
    write_net(folder, "class Net:\n    def __init__(self, rate=0.2): ...\n")

    with pytest.raises(StudyError, match=r"another version of nets\.py:Net .* with --trust-code"):
        check_code("own", then, training(folder), is_trusted=False)
    check_code("own", then, training(folder), is_trusted=True)


def test_code_that_a_database_names_runs_only_where_its_user_has_run_it(folder, tmp_path):
    cache, named = tmp_path / "cache", training(folder)
    for unknown in (cache, None):
        with pytest.raises(
            StudyError, match=r"nets\.py, which no spec of yours has run here: read"
        ):
            check_known("own", named, unknown, is_trusted=False)

    remember_code(named, cache)

    check_known("own", named, cache, is_trusted=False)
    check_known("own", named, None, is_trusted=True)
    write_net(folder, "class Net:\n    def __init__(self, rate=0.3): ...\n")
    with pytest.raises(StudyError, match="--trust-code"):
        check_known("own", training(folder), cache, is_trusted=False)


def test_an_exported_spec_knows_the_hash_of_its_code(folder):
    sha256 = code_of(training(folder))["nets.py:Net"]
    check_exported(training(folder, sha256=sha256), is_trusted=False)
    other = training(folder, sha256="0" * 64)

    with pytest.raises(StudyError, match=r"model\.sha256: nets\.py:Net is another version"):
        check_exported(other, is_trusted=False)
    check_exported(other, is_trusted=True)


def test_a_cache_that_knows_code_is_still_closed_to_others(folder, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    remember_code(training(folder), cache)
    cache.chmod(0o755)
    assert own_folder(cache) == cache
    assert cache.stat().st_mode & 0o777 == 0o700


OWN = """
import numpy as np
import optax

def load(rows=40):
    x = np.random.default_rng(0).standard_normal((rows, 3))
    return {"x": x, "y": (x[:, 0] > 0).astype(int)}

def entropy(outputs, y, scale=1.0):
    return scale * optax.softmax_cross_entropy_with_integer_labels(outputs, y)

def hits(predictions, y):
    return predictions.argmax(1) == y
"""

SPEC = """
name: mine
data: {python: "own.py:load", batch_size: 8}
model: {name: mlp, widths: [4]}
loss: {python: "own.py:entropy"}
optimizer: {name: adam, learning_rate: 0.01}
train: {epochs: 1}
space: {loss.scale: {float: [0.5, 2.0]}}
search: {objective: {maximize: {python: "own.py:hits"}}, scheduler: {name: none}, trials: 2}
"""


def test_looking_at_a_study_runs_none_of_its_code_and_going_on_asks_first(tmp_path, hpo):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "own.yaml").write_text(SPEC)
    searched = hpo("search", "own.yaml", "-q")
    assert searched.code == 0, searched.err
    assert "Runs own.py:load (13 lines" in searched.err
    (tmp_path / "own.py").write_text(f"raise SystemExit('ran')\n{OWN}")

    for command in (["check", "own.yaml"], ["list"], ["show", "mine"]):
        looked = hpo(*command)
        assert looked.code == 0, (command, looked.err)
        assert "ran" not in looked.err.split()
    for command in (["resume", "mine", "--trials", "3"], ["export", "mine"]):
        refused = hpo(*command)
        assert refused.code == 2, command
        assert "--trust-code" in refused.err
