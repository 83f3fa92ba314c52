"""`hpo.export_model` and `hpo.bench`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpo
from tests.trained.tables import trained, write_table


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory, compile_cache: Path) -> Path:
    """The folder of a table and of a linear model of it."""
    from tests.study.whole import Studies

    folder = tmp_path_factory.mktemp("churn")
    write_table(folder / "table.csv")
    trained(Studies(folder, compile_cache), folder, model={"name": "mlp", "widths": []})
    return folder


def test_an_exported_model_answers_in_onnxruntime_as_in_python(churn: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    found = hpo.export_model(churn / "model", tmp_path / "out", rows=churn / "table.csv")
    file = tmp_path / "out" / "model.onnx"
    assert (found.rows, found.size, found.metrics) == (120, file.stat().st_size, None)
    session = runtime.InferenceSession(os.fspath(file), providers=["CPUExecutionProvider"])
    assert session.get_inputs()
    judged = hpo.export_model(churn / "model", tmp_path / "judged", precision="int8")
    # One row in five validates.
    assert (judged.rows, set(judged.metrics or {})) == (24, {"model", "export"})
    lowered = hpo.export_model(churn / "model", tmp_path / "file", format="stablehlo")
    assert (tmp_path / "file").stat().st_size == lowered.size
    for words, why in (
        ({"format": "pickle"}, r"^--format pickle: is not known: give onnx or stablehlo\.$"),
        ({"precision": "int4"}, "^--precision int4: is not known: give float32 or float16"),
        ({"tolerance": -1.0}, "^--tolerance -1.0: is below 0"),
    ):
        with pytest.raises(hpo.HpoError, match=why):
            hpo.export_model(churn / "model", tmp_path / "new", **words)


@pytest.mark.long
def test_the_times_of_a_model_are_those_of_each_engine(churn: Path) -> None:
    found = pd.DataFrame(hpo.bench(churn / "model"))
    assert {"jax"} <= {*found["engine"]}
    assert {1, 512} <= {*found["rows"]}
    assert np.isfinite(found["milliseconds"]).all()
