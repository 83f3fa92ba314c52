"""Trained models for other programs, on the command line."""

from __future__ import annotations

import json

import pytest

from tests.study.whole import Studies
from tests.trained.tables import trained, write_table


def test_a_model_is_exported_to_a_folder_or_to_a_file(hpo, tmp_path, compile_cache):
    pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    write_table(tmp_path / "table.csv")
    trained(Studies(tmp_path, compile_cache), tmp_path)
    rows = ("--rows", str(tmp_path / "table.csv"))
    out = str(tmp_path / "model.stablehlo")
    words = ("export-model", str(tmp_path / "model"), "--format", "stablehlo")
    result = hpo(*words, "-o", out, *rows)
    assert result.code == 0, result.err
    assert "120 rows compared, and the largest difference is " in result.out
    assert "exists: give another name, or --force" in hpo(*words, "-o", out, *rows).err
    result = hpo(*words, "-o", f"{out}.small", *rows, "--precision", "int8", "--json")
    assert 1e-5 < json.loads(result.out)["difference"] < 0.25
    words = ("export-model", str(tmp_path / "model"), "-o", str(tmp_path / "out"), *rows, "--json")
    found = json.loads(hpo(*words).out)
    assert (found["rows"], found["precision"], found["metrics"]) == (120, "float32", None)
    assert found["difference"] < 1e-5
    words = (*words[:4], "--force", "--precision", "float16")
    result = hpo(*words)  # on the validation rows, which are found beside the model
    assert "24 rows compared" in result.out
    assert "validation: loss " in result.out
    assert (tmp_path / "out" / "predict.py").is_file()


def test_rows_that_trained_members_of_folds_judge_no_export(hpo, tmp_path, compile_cache):
    pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    write_table(tmp_path / "table.csv")
    trained(Studies(tmp_path, compile_cache), tmp_path, "data.folds=2", "train.epochs=1")
    result = hpo("export-model", str(tmp_path / "model"), "-o", str(tmp_path / "out"))
    assert result.code == 0, result.err
    assert "rows compared, and the largest difference is " in result.out
    assert "every row of its folds has trained a member" in result.out
    assert "loss" not in result.out


def test_it_is_said_how_many_units_of_all_members_are_left(hpo, tmp_path, compile_cache):
    pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    write_table(tmp_path / "table.csv")
    leaves = ("name=magnitude", "unit=unit", "share=0.5")
    words = (f"compression.sparsity.{leaf}" for leaf in leaves)
    shape = ("model.widths=[8, 4]", "model.norm=layer")
    trained(
        Studies(tmp_path, compile_cache), tmp_path, "data.folds=2", "train.epochs=1", *shape, *words
    )
    result = hpo("export-model", str(tmp_path / "model"), "-o", str(tmp_path / "out"))
    assert result.code == 0, result.err
    assert "units: 24 -> 12; the others are cut" in result.out


@pytest.mark.long
def test_bench_gives_the_times_of_each_engine(hpo, tmp_path, compile_cache):
    write_table(tmp_path / "table.csv")
    trained(Studies(tmp_path, compile_cache), tmp_path, "train.epochs=1")
    result = hpo("bench", str(tmp_path / "model"), "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert {1, 512} < {one["rows"] for one in found}
    assert "jax" in {one["engine"] for one in found}
    assert all(one["milliseconds"] > 0 for one in found)
