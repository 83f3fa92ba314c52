"""The commands that train: what they print, and how they are stopped."""

import json
import os
import subprocess
import sys

import pytest

from hpo import own_files
from tests.checkout import ROOT
from tests.cli.samples import FLOWERS


def test_a_spec_without_a_search_is_not_searched(hpo, spec):
    spec.write_text(spec.read_text().partition("search:")[0])
    result = hpo("search", str(spec))

    assert result.code == 2
    assert result.err.startswith("flowers: has no search section: add search:")


@pytest.mark.parametrize("command", [("search",), ("train", "-o", "model")])
def test_ctrl_c_while_jax_is_imported_ends_with_130_before_anything_began(
    spec, tmp_path, monkeypatch, command
):
    slow = tmp_path / "path" / "jax"
    slow.mkdir(parents=True)
    (slow / "__init__.py").write_text(
        "import signal, time\nsignal.raise_signal(signal.SIGINT)\ntime.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(slow.parent), str(ROOT)]))
    if command[0] == "train":
        spec.write_text(spec.read_text().partition("space:")[0])

    result = subprocess.run(
        [sys.executable, "-m", "hpo", *command, str(spec)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr == "Stopped before training began.\n"
    assert not (tmp_path / "hpo.db").exists()
    assert not (tmp_path / "model").exists()


def _in_its_place(cache):
    cache.touch()


def _open_to_all(cache):
    (cache / "theirs").mkdir(parents=True)
    cache.chmod(0o777)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_in_its_place, "is not a folder"),
        (_open_to_all, "may be written by other users"),
    ],
)
def test_a_cache_that_cannot_be_used_is_said_in_one_line_and_the_search_goes_on(
    hpo, tmp_path, monkeypatch, make, why
):
    monkeypatch.setattr(own_files, "_said", set())
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    make(tmp_path / "cache")
    rows = "".join(f"{i},{i % 5},{i % 2}\n" for i in range(60))
    (tmp_path / "t.csv").write_text(f"a,b,y\n{rows}")
    document = FLOWERS.replace("dataset: iris", "dataset: {csv: t.csv, target: y}")
    (tmp_path / "flowers.yaml").write_text(document)

    searched = hpo("search", "flowers.yaml", "--quiet", "--trials", "1")
    assert searched.code == 0, searched.err
    (line,) = [line for line in searched.err.splitlines() if "cache" in line]
    assert line.startswith(f"warning: {tmp_path / 'cache'} {why}")
    assert line.endswith("set HPO_CACHE to a folder of your own.")


def test_a_study_whose_every_trial_diverges_ends_and_says_so(hpo, tmp_path):
    document = FLOWERS.replace("[1.0e-3, 1.0e-1]", "[1.0e+36, 1.0e+37]")
    (tmp_path / "lost.yaml").write_text(document.replace("adam,", "sgd,"))

    searched = hpo("search", "lost.yaml", "--quiet")
    assert searched.code == 0, searched.err
    assert "  trials  3 of 3:  3 diverged" in searched.out.splitlines()
    assert "  epochs  0" in searched.out.splitlines()
    assert "epochs/s" not in searched.out
    assert "hpo export" not in searched.out
    assert "every trial has diverged" in hpo("show", "flowers").out
    assert json.loads(hpo("show", "flowers", "--json").out)["overview"]["best"] is None
    assert hpo("export", "flowers", "-o", "best.yaml") == (
        2,
        "",
        "study 'flowers': every trial has diverged (3 in all), so none can win: search a space of "
        "lower learning rates, or export any with --trial N.\n",
    )
    assert not (tmp_path / "best.yaml").exists()


def test_a_study_without_a_feasible_configuration_says_how_near_it_came(hpo, tmp_path):
    small = "constraints: [{metric: parameters, at_most: 3}]"
    (tmp_path / "small.yaml").write_text(FLOWERS.replace("  trials: 3", f"  {small}\n  trials: 3"))

    searched = hpo("search", "small.yaml", "--quiet")
    assert searched.code == 0, searched.err
    assert "  trials  3 of 3:  3 infeasible" in searched.out.splitlines()
    exported, shown = hpo("export", "flowers"), hpo("show", "flowers").out
    assert exported.code == 2
    advice = (
        "o configuration (3 tried) kept the constraints before training, and the nearest, trial 0,"
        " has 67 parameters (bound: parameters at most 3): loosen the bound or widen the space, and"
        " run `hpo search SPEC` again"
    )
    for said in (searched.out, shown, exported.err):
        assert advice in " ".join(said.split())
    assert "hpo resume" not in searched.out + shown + exported.err
    assert json.loads(hpo("show", "flowers", "--json").out)["untrained"] == {
        "trials": 3,
        "nearest": 0,
        "misses": [{"bound": "parameters at most 3", "metric": "parameters", "value": 67.0}],
    }
    # The advice holds: with another bound the study starts over.
    loosened = hpo("search", "small.yaml", "--quiet", "--set", "search.constraints=[]")
    assert "  trials  3 of 3:  3 complete" in loosened.out.splitlines()


def test_an_unknown_device_is_refused_with_those_that_jax_has(spec):
    result = subprocess.run(
        [sys.executable, "-m", "hpo", "search", str(spec), "--device", "qpu"],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert "--device qpu: JAX cannot use it here (Unknown backend qpu). JAX has: cpu." in (
        result.stderr
    )


def test_a_study_trains_on_the_device_that_is_named(spec, hpo):
    assert hpo("search", str(spec), "--quiet", "--device", "cpu").code == 0


def test_a_link_in_place_of_the_checkpoints_is_refused_before_training(hpo, spec, tmp_path):
    thesis = tmp_path / "elsewhere" / "thesis.tex"
    thesis.parent.mkdir()
    thesis.write_text("three years of work")
    (tmp_path / "hpo.db.checkpoints").mkdir()
    (tmp_path / "hpo.db.checkpoints" / "flowers").symlink_to(thesis.parent)

    result = hpo("search", str(spec))

    assert (result.code, result.out) == (2, "")
    assert "flowers: is a link, and hpo deletes old checkpoints there: remove" in result.err
    assert thesis.read_text() == "three years of work"
    assert not (tmp_path / "hpo.db").exists()


def test_a_resumed_study_says_which_files_its_stored_spec_reads(hpo, tmp_path):
    rows = [f"{x},{x % 2}" for x in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join(["x,y", *rows]))
    dataset = "{csv: mine.csv, target: y, task: classification}"
    (tmp_path / "mine.yaml").write_text(FLOWERS.replace("dataset: iris", f"dataset: {dataset}"))

    searched = hpo("search", "mine.yaml", "--trials", "1")
    resumed = hpo("resume", "flowers", "--trials", "2")

    assert (searched.code, resumed.code) == (0, 0), searched.err + resumed.err
    said = f"Reads {tmp_path}/mine.csv, as the stored spec says."
    assert said in resumed.err.splitlines()
    assert said not in searched.err.splitlines()


def test_no_model_is_trained_for_a_link(hpo, spec, tmp_path):
    spec.write_text(spec.read_text().partition("space:")[0])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model").symlink_to(tmp_path / "elsewhere")

    for options in ([], ["--force"]):
        assert hpo("train", str(spec), "-o", "model", *options) == (
            2,
            "",
            "-o model: model is a link: give the folder itself.\n",
        )
    assert [*(tmp_path / "elsewhere").iterdir()] == []
