"""A function with `@hpo.objective`, searched from its own script."""

import os
import subprocess
import sys

import pytest

import hpo
from hpo.api.asking import experiment_of
from hpo.errors import HpoError
from tests.checkout import ROOT

SCRIPT = """
import hpo

@hpo.objective(minimize="loss", space={"a": hpo.Int(1, 9)}, trials=2, name="own")
def train(trial, a):
    return a

"""
GUARD = 'if __name__ == "__main__":\n    '


@pytest.fixture
def python(tmp_path):
    """Runs a script in a folder of its own."""

    def run(*words, text=None):
        if text is not None:
            (tmp_path / "train.py").write_text(text)
        homes = {f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("CACHE", "STATE")}
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**os.environ, **homes, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.long
def test_a_script_searches_its_own_function_and_the_study_goes_on_by_name(python, tmp_path):
    first = python("train.py", text=SCRIPT + GUARD + "hpo.search(train)")
    assert first.returncode == 0, first.stderr
    again = python("train.py", text=SCRIPT + GUARD + "hpo.search(train, trials=3)")
    assert "train.py:train (sha256 " in again.stderr.splitlines()[-1]
    more = python("-m", "hpo", "resume", "own", "--trials", "3", "--trust-code")
    assert more.returncode == 0, more.stderr
    study = hpo.Study("own", storage=f"sqlite:///{tmp_path / 'hpo.db'}")
    assert [trial.value for trial in study.trials] == [t.hparams["a"] for t in study.trials]
    assert len(study.trials) == 3


@pytest.mark.long
def test_the_example_of_a_script_runs(python):
    ended = python(str(ROOT / "examples" / "my_function" / "script.py"))
    assert ended.returncode == 0, ended.stderr
    assert "'rate'" in ended.stdout


def test_a_search_without_a_guard_is_refused_in_one_line(python, tmp_path):
    ended = python("train.py", text=SCRIPT + "hpo.search(train)")
    *_, last = ended.stderr.splitlines()
    assert "train.py:8: each trial imports this file and would search again: put the call" in last
    assert ended.returncode == 1
    assert not (tmp_path / "hpo.db").exists()


@pytest.fixture
def imported(tmp_path, monkeypatch):
    (tmp_path / "own_objective.py").write_text(
        SCRIPT.replace('trials=2, name="own"', 'epochs=3, workers=2, stay=True, sampler="tpe"')
        + "inner = (lambda: hpo.objective(maximize='x')(lambda trial: 1))()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import own_objective

    yield own_objective
    del sys.modules["own_objective"]


def test_a_decorator_says_what_a_spec_would(imported, tmp_path):
    assert imported.train.document() == {
        "name": "own_objective.train",
        "objective": {"python": "own_objective.py:train", "workers": 2, "stay": True},
        "train": {"epochs": 3},
        "space": {"a": {"int": [1, 9]}},
        "search": {"objective": {"minimize": "loss"}, "sampler": {"name": "tpe"}},
    }
    experiment = experiment_of(imported.train, ["train.seed=7"], trials=5)
    assert experiment.training.command.own.code.file.resolve() == tmp_path / "own_objective.py"
    assert experiment.training.train.seed == 7
    assert imported.train(None, 4) == 4


def test_a_function_that_no_process_can_import_is_refused(imported):
    with pytest.raises(HpoError, match="is defined within another function"):
        imported.inner.document()
    names = {"hpo": hpo, "__name__": "__main__"}
    exec(compile(SCRIPT, "<ipython-input-1>", "exec"), names)
    with pytest.raises(HpoError, match=r"train: is in no file.*%%writefile train.py"):
        names["train"].document()


def test_a_function_without_the_decorator_is_refused_with_the_line_to_write():
    def plain():
        pass

    with pytest.raises(HpoError, match=r"plain: is no objective: write @hpo\.objective"):
        experiment_of(plain)


def test_an_objective_has_one_direction():
    for given in ({}, {"minimize": "a", "maximize": "b"}):
        with pytest.raises(HpoError, match="give one of minimize and maximize"):
            hpo.objective(**given)


def test_entries_of_a_space_are_those_of_a_spec():
    assert hpo.Float(1e-5, 1e-1, log=True) == {"float": [1e-5, 1e-1], "log": True}
    assert hpo.Float(0, 1, step=0.5) == {"float": [0, 1], "step": 0.5}
    assert hpo.Int(1, 9, step=2) == {"int": [1, 9], "step": 2}
    assert hpo.Choice("adamw", [1, None]) == {"choice": ["adamw", [1, None]]}
