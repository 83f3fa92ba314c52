"""Models on the command line: why they answer so, where they lie, and several together."""

from __future__ import annotations

import json

import numpy as np
import pytest


def test_a_model_is_explained_by_rows_with_targets(hpo, folder, tmp_path):
    words = ("explain", str(folder / "model"), str(folder / "new.csv"), "--repeats", "2", "-q")
    shown = hpo(*words, "-o", str(tmp_path / "why"))
    assert shown.code == 0, shown.err
    assert "column, and how much worse loss is without it (95 %)" in shown.out
    plain = json.loads(hpo(*words, "--json").out)
    assert plain == json.loads((tmp_path / "why" / "explanation.json").read_text())
    assert len(plain["importance"]) == 5
    refused = hpo(*words, "-o", str(tmp_path / "why"))
    assert "holds an explanation: give another folder, or --force" in refused.err


def test_a_model_may_lie_at_a_url(hpo, spec, tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec", reason="the extra `urls` is not installed")
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    url, words = "memory://of-commands/model", ("train", "flowers.yaml", "-o")
    assert hpo("search", "flowers.yaml", "--quiet").code == 0
    made = hpo(*words, f"{url}/", "-q")
    assert made.code == 0, made.err
    assert f"{url}/ holds weights" in made.out
    # A model that did not arrive is sent by the same command, which does not train again.
    again = f"{url}-2"
    with monkeypatch.context() as now:
        now.setattr(fsspec.get_filesystem_class("memory"), "put_file", None)
        assert f"-o {again}: cannot be written" in hpo(*words, again).err
    resent = hpo(*words, again)
    assert (resent.code, resent.err) == (0, ""), resent.err
    assert f"{again} holds the model that was made before; it is sent now." in resent.out
    assert fsspec.filesystem("memory").isfile("of-commands/model-2/metrics.json")
    assert fsspec.filesystem("memory").isfile("of-commands/model/metrics.json")
    refused = hpo(*words, url)
    assert f"-o {url}: holds a trained model: give another folder, or --force" in refused.err
    before = fsspec.filesystem("memory").cat(f"{url}/metrics.json")
    alone = spec.read_text().partition("space:")[0].replace("0.01", "1.0e+30")
    (tmp_path / "steep.yaml").write_text(alone)
    diverged = hpo("train", "steep.yaml", "-o", url, "--force", "-q")
    assert f"{url}: is not written, because the training diverged" in diverged.err
    assert fsspec.filesystem("memory").cat(f"{url}/metrics.json") == before
    np.savez(tmp_path / "new.npz", x=np.ones((3, 4)))
    told = hpo("predict", url, str(tmp_path / "new.npz"), "-q")
    assert told.code == 0, told.err
    assert len(told.out.splitlines()) == 4


def test_ensembles_and_small_models_that_did_not_arrive_are_sent_by_the_same_command(
    hpo, spec, tmp_path, monkeypatch
):
    fsspec = pytest.importorskip("fsspec", reason="the extra `urls` is not installed")
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    assert hpo("search", "flowers.yaml", "--quiet").code == 0
    assert hpo("train", "flowers.yaml", "-o", "model", "-q").code == 0
    memory = fsspec.filesystem("memory")
    for url, words, other in (
        ("memory://of-both/together", ("ensemble", "flowers", "--top", "2"), "--mean"),
        ("memory://of-both/small", ("compress", "model", "--epochs", "1"), "--teacher"),
    ):
        with monkeypatch.context() as now:
            now.setattr(fsspec.get_filesystem_class("memory"), "put_file", None)
            lost = hpo(*words, "-o", url, "-q")
        assert f"-o {url}: cannot be written" in lost.err
        # What would be made otherwise is not taken for it.
        refused = hpo(*words, other, "-o", url, "-q")
        assert "a model of another command, or of other data, could not be sent" in refused.err
        again = hpo(*words, "-o", url, "-q")
        assert (again.code, again.err) == (0, "")
        assert f"{url} holds the model that was made before; it is sent now." in again.out
        assert memory.isfile(f"{url.removeprefix('memory://')}/metrics.json")


def test_an_unsent_model_is_not_taken_for_one_of_other_rows_or_of_other_code(
    hpo, tmp_path, monkeypatch
):
    fsspec = pytest.importorskip("fsspec", reason="the extra `urls` is not installed")
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    rows = [f"{n % 7},{n % 2}" for n in range(60)]
    table, code = tmp_path / "table.csv", tmp_path / "losses.py"
    spec = """\
name: rows
data: {dataset: {csv: table.csv, target: y}, batch_size: 16}
model: {name: mlp, widths: []}
optimizer: {name: sgd, learning_rate: 0.1}
loss: {python: "losses.py:rows"}
train: {epochs: 1}
"""
    (tmp_path / "rows.yaml").write_text(spec)
    one = "import optax\n\ndef rows(outputs, batch):\n    return FACTOR * "
    one += "optax.softmax_cross_entropy_with_integer_labels(outputs, batch['y'])\n"
    table.write_text("\n".join(["x,y", *rows]))
    code.write_text(one.replace("FACTOR", "1"))
    words = ("train", "rows.yaml", "-o", "memory://of-rows/model", "-q")
    with monkeypatch.context() as now:
        now.setattr(fsspec.get_filesystem_class("memory"), "put_file", None)
        assert "cannot be written" in hpo(*words).err
    table.write_text("\n".join(["x,y", *rows, "3,1"]))
    assert "or of other data, could not be sent and is in" in hpo(*words).err
    table.write_text("\n".join(["x,y", *rows]))
    code.write_text(one.replace("FACTOR", "2"))
    assert "or of other data, could not be sent and is in" in hpo(*words).err
    code.write_text(one.replace("FACTOR", "1"))
    assert "it is sent now." in hpo(*words).out


def test_the_best_trials_of_a_study_answer_together(hpo, spec, tmp_path):
    assert hpo("search", "flowers.yaml", "--quiet").code == 0
    made = hpo("ensemble", "flowers", "--top", "2", "-o", "both", "--json", "-q")
    assert made.code == 0, made.err
    found = json.loads(made.out)
    winner, *means = found["compared"]
    assert means == ["mean", "greedy"]
    assert winner == f"trial {next(iter(found['shares']))}"
    assert sum(found["shares"].values()) == pytest.approx(1)
    refused = hpo("ensemble", "flowers", "-o", "both")
    assert "holds a trained model: give another folder, or --force" in refused.err
    again = hpo("ensemble", "flowers", "--top", "99", "-o", "both", "--mean", "--force")
    assert again.code == 0, again.err
    assert "trials that can be trained again" in again.err
    assert "is trained already" in again.err
    assert "both/ holds the mean ensemble" in again.out
