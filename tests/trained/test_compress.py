"""The training that makes a trained model smaller."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pytest

import hpo as hpo_package
from hpo.data.load import load_data
from hpo.engine.training.compression.packing import leaves
from hpo.errors import HpoError, SpecError
from hpo.spec.file.dump import dump_spec
from hpo.spec.load import load_document
from hpo.trained.compress import Wanted, compressing, smaller_document
from hpo.trained.model import load_model
from hpo.trained.packed import read_packed
from tests.study.whole import Studies
from tests.trained.tables import trained, write_table

WANTED = Wanted(0.75, "weight", 3, has_teacher=True, epochs=2, learning_rate=0.01)
SPEC = {
    "name": "churn",
    "data": {"dataset": "iris", "batch_size": 16},
    "model": {"name": "mlp", "widths": [8], "dropout": 0.1},
    "optimizer": {"name": "adam", "learning_rate": 0.1},
    "train": {"epochs": 9, "until": 5, "keep": "best", "seed": 3},
}


def folder_of(place: Path, **parts: object) -> Path:
    """A folder with the spec of a model alone."""
    place.mkdir()
    (place / "spec.yaml").write_text(dump_spec({**SPEC, **parts}))
    (place / "metrics.json").write_text("{}")
    return place


def test_the_spec_is_that_of_the_model_with_what_makes_it_small(tmp_path: Path) -> None:
    model = folder_of(tmp_path / "model")
    found = smaller_document(model, WANTED)
    assert {name: found[name] for name in ("name", "data", "model")} == {
        name: SPEC[name] for name in ("name", "data", "model")
    }
    assert found["train"] == {"epochs": 2, "seed": 3}
    assert found["optimizer"] == {
        "name": "adam",
        "learning_rate": 0.01,
        "schedule": {"name": "cosine"},
    }
    assert found["compression"] == {
        "sparsity": {"name": "magnitude", "share": 0.75, "unit": "weight"},
        "weights": {"name": "integer", "bits": 3, "scales": "channel"},
    }
    whole = smaller_document(model, WANTED._replace(sparsity=0.0, bits=32, epochs=None))
    assert whole["compression"] == {}
    assert whole["train"]["epochs"] == 9
    some = {"activations": {"bits": 8}, "weights": {"name": "ternary"}}
    rounded = smaller_document(folder_of(tmp_path / "rounded", compression=some), WANTED)
    assert rounded["compression"] == found["compression"] | {"activations": {"bits": 8}}
    steps = {"activations": {"name": "learned", "bits": 8}}
    learned = smaller_document(
        folder_of(tmp_path / "learned", compression=steps), WANTED._replace(activation_bits=4)
    )
    assert learned["compression"]["activations"] == {"name": "learned", "bits": 4}
    assert smaller_document(model, WANTED._replace(rank=2))["model"]["rank"] == 2
    own = compressing(model, WANTED, None).document
    assert own["model"]["from"] == own["compression"]["teacher"]["from"]


def test_a_folder_that_cannot_be_trained_further_is_refused_in_a_sentence(tmp_path: Path) -> None:
    for name, parts, why in (
        ("private", {"privacy": {"noise": 1.0}}, "was trained with privacy"),
        ("task", {"model": "task.py:Task"}, "its spec has no section model, as that of a task of"),
    ):
        with pytest.raises(HpoError, match=why):
            smaller_document(folder_of(tmp_path / name, **parts), WANTED)
    with pytest.raises(HpoError, match=r"has no spec\.yaml: give a folder that hpo train wrote"):
        smaller_document(tmp_path / "nowhere", WANTED)
    folds = folder_of(tmp_path / "folds", data={"dataset": "iris", "folds": 3})
    assert smaller_document(folds, WANTED)["data"]["folds"] == 3
    (folds / "metrics.json").write_text('{"refit_epochs": 3}')
    with pytest.raises(HpoError, match="was trained with --refit, so it has seen all rows"):
        smaller_document(folds, WANTED)
    (folds / "ensemble.json").write_text("{}")
    with pytest.raises(HpoError, match="holds an ensemble"):
        smaller_document(folds, WANTED)
    members = folder_of(tmp_path / "members", model={"name": "tabm"})
    with pytest.raises(HpoError, match=r"--rank 2: cnn, .* have a rank, not 'tabm': leave it out"):
        smaller_document(members, WANTED._replace(rank=2))
    lost = folder_of(tmp_path / "lost", data={"dataset": {"csv": "lost.csv", "target": "y"}})
    with pytest.raises(HpoError, match="run this in the folder where its data are"):
        compressing(lost, WANTED, None)
    rated = folder_of(tmp_path / "rated")
    with pytest.raises(SpecError, match=r"^optimizer\.learning_rate: cannot be -1\.0: write a"):
        compressing(rated, WANTED._replace(learning_rate=-1.0), None)
    own = folder_of(tmp_path / "own", model={"python": "nets.py:Net"})
    (tmp_path / "own" / "code").mkdir()
    (tmp_path / "own" / "code" / "nets.py").write_text("def Net(): ...\n")
    with pytest.raises(HpoError, match=r"code of your own: add --trust-code"):
        compressing(own, WANTED, None)


@pytest.mark.long
def test_a_compressed_model_has_the_zeros_levels_and_bytes_that_are_told(
    hpo, tmp_path, compile_cache
):
    write_table(tmp_path / "table.csv")
    trained(Studies(tmp_path, compile_cache), tmp_path)
    words = ("--sparsity", "0.5", "--bits", "3", "--epochs", "2", "--teacher", "--json")
    result = hpo("compress", "model", "-o", "small", *words)
    assert result.code == 0, result.err

    assert f"Reads {tmp_path}/table.csv, as the stored spec says." in result.err.splitlines()
    told = json.loads(result.out)
    arrays = read_packed(tmp_path / "small" / "weights")
    kernels = [array for name, array in arrays.items() if name.endswith("kernel")]
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
    assert zeros >= sum(kernel.size for kernel in kernels) // 2
    assert all(len(np.unique(column)) <= 7 for kernel in kernels for column in kernel.T)
    packed = (tmp_path / "small" / "weights" / "packed.bin").stat().st_size
    whole = sum(array.nbytes for array in arrays.values())
    assert told["bytes"] == {"before": whole, "after": packed}
    for when, folder in (("before", "model"), ("after", "small")):
        own = json.loads((tmp_path / folder / "metrics.json").read_text())["metrics"]
        assert told["metrics"][when] == own
    assert told["same_rows"] is True
    assert "compression" in (tmp_path / "small" / "spec.yaml").read_text()
    # Its levels are those of its export, too.
    if find_spec("onnxruntime"):
        exported = hpo("export-model", "small", "-o", "exported", "--precision", "int8", "--json")
        found = json.loads(exported.out)
        assert (found["kept"], found["rows_apart"]) == ("weights", 0)
    # Neither a rank that saves nothing nor a training that diverges writes a model. Eleven inputs
    # have four units.
    refused = hpo("compress", "model", "-o", "new", "--rank", "1000")
    assert "the hidden layers would have 15,000 weights, and have 44" in refused.err
    diverged = hpo("compress", "model", "-o", "small", "--force", "--learning-rate", "1e30")
    assert "small: is not written, because the training diverged" in diverged.err
    assert json.loads((tmp_path / "small" / "metrics.json").read_text())["metrics"] == own
    # It answers as any model does, without the one that it came from.
    shutil.rmtree(tmp_path / "model")
    found = hpo_package.load("small").score("table.csv")
    assert found["accuracy"] > 0.4
    for place in ("small", (tmp_path / "small").as_uri()):
        assert "holds the model to compress" in hpo("compress", place, "-o", place).err
    assert "is in the folder of the model" in hpo("compress", "small", "-o", "small/new").err
    assert "2 to 8 bits, or 32" in hpo("compress", "small", "-o", "new", "--bits", "9").err


@pytest.mark.long
def test_without_an_epoch_weights_stay_and_what_layers_read_is_measured(
    hpo, tmp_path, compile_cache
):
    spec = {
        "name": "iris",
        "data": {"dataset": "iris", "batch_size": "all"},
        "model": {"name": "mlp", "widths": [8], "dropout": 0.5},
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "augment": {"gaussian_noise": 3.0},
        "train": {"epochs": 9},
    }
    studies = Studies(tmp_path, compile_cache)
    studies.train(load_document(spec, Path()), tmp_path / "model")
    words = ("--sparsity", "0", "--bits", "32", "--activation-bits", "8", "--epochs", "0")
    result = hpo("compress", "model", "-o", "small", *words)
    assert result.code == 0, result.err
    before, after = (load_model(tmp_path / name) for name in ("model", "small"))
    for own, new in zip(
        jax.tree.leaves(before.members[0].weights["params"]),
        jax.tree.leaves(after.members[0].weights["params"]),
        strict=True,
    ):
        np.testing.assert_array_equal(own, new)
    # All rows are one batch, so that the ranges are the ends of what the two layers read.
    data = load_data(before.training.data, Path(), None)
    x = np.asarray(data.train.arrays["x"])
    weights = before.members[0].weights["params"]
    hidden = np.maximum(0, x @ weights["linears"][0]["kernel"] + weights["linears"][0]["bias"])
    for layer, read in (("linears/0", x), ("head", hidden)):
        found = [
            dict(leaves(after.members[0].weights))[f"variables/{layer}/dot_general/{end}"]
            for end in ("low", "high")
        ]
        assert found == pytest.approx([min(0, read.min()), max(0, read.max())], rel=1e-6)
    assert json.loads((tmp_path / "small" / "metrics.json").read_text())["epochs"] == 1

    for more, why in (
        (("--sparsity", "0.5"), "the others have to learn again: give --sparsity 0"),
        (("--sparsity", "0", "--teacher"), "nothing learns from --teacher"),
        (("--sparsity", "0", "--learning-rate", "0.1"), "there is no --learning-rate"),
    ):
        assert why in hpo("compress", "model", "-o", "new", "--epochs", "0", *more).err


def test_without_an_epoch_trained_steps_stay_and_others_are_those_of_the_first_batch(
    hpo, tmp_path, compile_cache
):
    spec = {
        "name": "iris",
        "data": {"dataset": "iris", "batch_size": "all"},
        "model": {"name": "mlp", "widths": []},
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "compression": {"activations": {"name": "learned", "bits": 4}},
        "train": {"epochs": 9},
    }
    studies = Studies(tmp_path, compile_cache)
    studies.train(load_document(spec, Path()), tmp_path / "model")
    words = ("--sparsity", "0", "--bits", "32", "--epochs", "0")
    for name, more in (("same", ()), ("other", ("--activation-bits", "6"))):
        result = hpo("compress", "model", "-o", name, *words, *more)
        assert result.code == 0, result.err
    steps = [
        float(
            load_model(tmp_path / name)
            .members[0]
            .weights["variables"]["head"]["dot_general"]["step"]
        )
        for name in ("model", "same", "other")
    ]
    assert steps[0] == steps[1]
    # Scaled columns have numbers below 0, so 6 bits are up to 31.
    x = np.asarray(load_data(load_model(tmp_path / "model").training.data, Path(), None).train.x)
    first = 2 * np.abs(x).mean()
    assert steps[2] == pytest.approx(first / np.sqrt(31), rel=2**-11)
    assert abs(steps[0] - first / np.sqrt(7)) > 1e-3  # of 4 bits, and trained


@pytest.mark.long
def test_a_model_that_was_cut_keeps_its_zeros_when_it_is_rounded(hpo, tmp_path, compile_cache):
    spec = {
        "name": "iris",
        "data": {"dataset": "iris", "batch_size": 16},
        "model": {"name": "mlp", "widths": [16]},
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "compression": {"sparsity": {"name": "magnitude", "share": 0.75, "begin": 0, "end": 0.5}},
        "train": {"epochs": 4},
    }
    studies = Studies(tmp_path, compile_cache)
    studies.train(load_document(spec, Path()), tmp_path / "cut")

    def zeros_of(folder: str) -> tuple[np.ndarray, int]:
        arrays = read_packed(tmp_path / folder / "weights")
        kernels = [array.ravel() for name, array in arrays.items() if name.endswith("kernel")]
        size = (tmp_path / folder / "weights" / "packed.bin").stat().st_size
        return np.concatenate(kernels) == 0, size

    before, bytes_before = zeros_of("cut")
    assert before.sum() == 0.75 * (4 * 16 + 16 * 3)
    for name, words in {
        "rested": ("--sparsity", "0", "--epochs", "0"),
        "learnt": ("--sparsity", "0"),
        "default": (),
    }.items():
        assert hpo("compress", "cut", "-o", name, "--bits", "8", *words).code == 0
        after, bytes_after = zeros_of(name)
        assert after[before].all()  # rounding may make more
        # A bit for each weight, a byte for each that is not 0, and scales and biases of 4 bytes.
        assert bytes_after == 8 + 6 + (~after).sum() + 4 * 2 * (16 + 3) < bytes_before
    # Single zeros are no units that are cut.
    assert hpo("compress", "cut", "-o", "units", "--sparsity", "0.5", "--unit", "unit").code == 0
    kernel = read_packed(tmp_path / "units" / "weights")["params/linears/0/kernel"]
    assert (kernel == 0).all(0).sum() == 8
    assert hpo("compress", "cut", "-o", "more", "--sparsity", "0.9").code == 0
    assert zeros_of("more")[0].sum() >= round(0.9 * 112)


@pytest.mark.long
@pytest.mark.parametrize("seeds", [1, 2])
def test_each_run_of_a_model_is_compressed_from_its_own_weights(
    hpo, tmp_path, compile_cache, seeds
):
    spec = {
        "name": "iris",
        "data": {"dataset": "iris", "batch_size": 16, "folds": 3},
        "model": {"name": "mlp", "widths": [8]},
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "train": {"epochs": 3, "seeds": seeds},
    }
    studies = Studies(tmp_path, compile_cache)
    studies.train(load_document(spec, Path()), tmp_path / "model")
    plain = ("--sparsity", "0", "--bits", "32", "--activation-bits", "8", "--epochs", "0")
    assert hpo("compress", "model", "-o", "rounded", *plain).code == 0
    few = ("--epochs", "2", "--learning-rate", "0.00003")
    cut = ("--sparsity", "0.5", "--bits", "32", *few, "--teacher", "--json")
    result = hpo("compress", "model", "-o", "cut", *cut)
    assert result.code == 0, result.err
    before, rounded, after = (
        [dict(leaves(one.weights["params"])) for one in load_model(tmp_path / name).members]
        for name in ("model", "rounded", "cut")
    )
    assert len(before) == len(rounded) == len(after) == 3 * seeds
    for own, new in zip(before, rounded, strict=True):
        for name in own:
            np.testing.assert_array_equal(own[name], new[name])
    for own, new in zip(before, after, strict=True):
        zeros = sum(int((new[name] == 0).sum()) for name in new if name.endswith("kernel"))
        assert zeros == (4 * 8 + 8 * 3) // 2
        # Fourteen steps of this rate lead hardly away from where this run ended, and no other.
        stays = new["linears/0/kernel"] != 0
        apart = [
            np.abs(new["linears/0/kernel"] - one["linears/0/kernel"])[stays].max() for one in before
        ]
        assert [one is own for one in before] == [value < 1e-3 for value in apart]
    told = json.loads(result.out)
    whole = sum(array.nbytes for one in before for array in one.values())
    assert told["bytes"]["before"] == whole > told["bytes"]["after"]
    assert told["same_rows"] is True


@pytest.mark.long
def test_a_network_of_images_becomes_smaller_by_a_rank(hpo, tmp_path, compile_cache):
    spec = {
        "name": "digits",
        "data": {"dataset": "digits", "rows": 100, "batch_size": 32},
        "model": {"name": "cnn", "filters": [4, 6], "dense": 8},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "train": {"epochs": 1},
    }
    studies = Studies(tmp_path, compile_cache)
    studies.train(load_document(spec, Path()), tmp_path / "model")
    plain = ("--sparsity", "0", "--bits", "32", "--json")
    result = hpo("compress", "model", "-o", "small", "--rank", "2", *plain)
    assert result.code == 0, result.err
    kernels = [2 * (9 + 4), 2 * (36 + 6), 2 * (24 + 8), 80]
    assert json.loads(result.out)["bytes"] == {
        "before": 4 * (36 + 36 * 6 + 24 * 8 + 80 + 28),
        "after": 4 * (sum(kernels) + 28),
    }
    refused = hpo("compress", "small", "-o", "new", "--rank", "3", *plain)
    # Neither the first convolution nor the second becomes smaller still.
    assert "the hidden layers would have 258 weights, and have 174: give a smaller" in refused.err

    # Without a hidden layer there is nothing to write as a product.
    head = {**spec, "model": {"name": "mlp", "widths": []}}
    studies.train(load_document(head, Path()), tmp_path / "head")
    refused = hpo("compress", "head", "-o", "new", "--rank", "1", *plain)
    assert "--rank 1: no rank gives a layer of this model fewer weights: leave it" in refused.err
