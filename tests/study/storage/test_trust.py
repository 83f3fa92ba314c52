"""Code of the user's own in a study: its hash, and the refusal to run another version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.own_files import own_folder
from hpo.study.storage.tables import Storage
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
    cache, named = tmp_path / "cache", own_experiment(folder)
    for unknown in (cache, None):
        with pytest.raises(
            StudyError, match=r"nets\.py, which no spec of yours has run here with these"
        ):
            check_known(named, [], unknown, is_trusted=False)

    remember_code(named, cache)

    check_known(named, [], cache, is_trusted=False)
    check_known(named, [], None, is_trusted=True)
    write_net(folder, "class Net:\n    def __init__(self, rate=0.3): ...\n")
    with pytest.raises(StudyError, match="--trust-code"):
        check_known(own_experiment(folder), [], cache, is_trusted=False)


READS = "class Net:\n    def __init__(self, path='a', mode='b', rate=0.1, depth=1): ...\n"
SPACE = {"model.mode": {"choice": ["b", "c"]}, "optimizer.learning_rate": {"float": [0.1, 1.0]}}


def test_code_that_the_user_has_run_takes_no_other_arguments_from_a_database(folder, tmp_path):
    write_net(folder, READS)
    cache = tmp_path / "cache"
    known = own_experiment(folder, {"path": "mine"}, SPACE)
    remember_code(known, cache)
    rate = {"optimizer.learning_rate": {"float": [0.2, 1.0]}}
    for same in (known, own_experiment(folder, {"path": "mine"}, SPACE | rate)):
        check_known(same, [], cache, is_trusted=False)

    for model, space in (
        ({"path": "/theirs"}, SPACE),
        ({"path": "mine", "depth": 2}, SPACE),
        ({"path": "mine"}, SPACE | {"model.mode": {"choice": ["b", "/theirs"]}}),
        ({"path": "mine"}, SPACE | {"model.path": {"choice": ["mine", "/theirs"]}}),
    ):
        other = own_experiment(folder, model, space)
        with pytest.raises(StudyError, match="with these arguments"):
            check_known(other, [], cache, is_trusted=False)
        check_known(other, [], cache, is_trusted=True)


def test_a_path_of_another_folder_is_another_argument(folder, tmp_path):
    known, cache = own_experiment(folder), tmp_path / "cache"
    remember_code(known, cache)
    (tmp_path / "theirs").mkdir()
    moved = replace(known, folder=tmp_path / "theirs")
    with pytest.raises(StudyError, match="with these arguments"):
        check_known(moved, [], cache, is_trusted=False)


def test_a_trial_gives_code_no_text_that_its_space_does_not_have(folder, tmp_path):
    write_net(folder, READS)
    known, cache = own_experiment(folder, {}, SPACE), tmp_path / "cache"
    remember_code(known, cache)
    check_known(known, [{"model.mode": "c", "model.rate": 7.0}], cache, is_trusted=False)

    for path, value in (("model.mode", "/theirs"), ("model.path", "c"), ("model.path", ("c",))):
        with pytest.raises(StudyError, match=f"a trial with {path} = .*--trust-code"):
            check_known(known, [{path: value}], cache, is_trusted=False)
        check_known(known, [{path: value}], cache, is_trusted=True)


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
    remember_code(own_experiment(folder), cache)
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
search:
  objective: {maximize: {python: "own.py:hits"}}
  baselines: false
  scheduler: {name: none}
  trials: 2
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


def test_a_study_of_known_code_resumes_and_trains_but_not_with_another_argument(tmp_path, hpo):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "own.yaml").write_text(SPEC)
    assert hpo("search", "own.yaml", "-q").code == 0
    assert hpo("resume", "mine", "--trials", "3", "-q").code == 0
    assert hpo("export", "mine", "-o", "best.yaml").code == 0
    assert hpo("train", "best.yaml", "-o", "model").code == 0

    with Storage.create(f"sqlite:///{tmp_path}/hpo.db") as storage:
        record = storage.study("mine")
        data = {"dataset": {"python": "own.py:load", "rows": 50}, "batch_size": 8}
        storage.update_document(record.id, {**record.document, "data": data})
    refused = hpo("resume", "mine", "--trials", "4")
    assert refused.code == 2
    assert "own.py:load" in refused.err
    assert "with these arguments: read both, then add --trust-code" in refused.err
    written = SPEC.replace('"own.py:load",', '{python: "own.py:load", rows: 50},')
    (tmp_path / "own.yaml").write_text(written.replace("{python: {", "{dataset: {"))
    assert hpo("search", "own.yaml", "-q", "--new").code == 0
