"""An exported language model goes on with a text as `hpo predict` does, without JAX and hpo."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.trained.exported.folder import export_onnx
from hpo.trained.exported.standalone import language, predict
from hpo.trained.exported.standalone.language import Model, TextError
from hpo.trained.kinds.text import prompt_in, written
from hpo.trained.model import Model as Trained
from tests.trained.exported.drawn import data_of, drawn
from tests.trained.exported.standalone.test_predict import ALONE

TOKENS = ["characters", "bytes", "bpe"]


def exported(folder: Path, tokens: str) -> Trained:
    """A model with drawn weights, whose export is in the folder `out`."""
    text = "the cat sat on the mat. \u00e9t\u00e9 a rat ran at the hat. " * 8
    data = data_of(folder, "language")
    (folder / "text.txt").write_text(text)
    more: dict[str, Any] = {"vocabulary": 270} if tokens == "bpe" else {}
    data["dataset"] |= {"tokens": tokens, **more}
    model, rows = drawn(folder, data, {"name": "transformer", "width": 8, "depth": 1})
    assert rows is not None
    found = export_onnx(model, folder / "out", rows, 1e-5, is_judged=True)
    assert found.metrics is not None
    assert {"perplexity", "bits_per_byte"} < found.metrics["export"].keys()
    return model


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("cats")
    return folder, exported(folder, "characters")


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ALONE, str(folder / "out" / "predict.py"), *words],
        capture_output=True,
        text=True,
    )


@pytest.mark.long
@pytest.mark.parametrize("tokens", TOKENS)
def test_texts_are_those_of_the_model(
    tokens: str, tmp_path: Path, cats: tuple[Path, Trained]
) -> None:
    if tokens == "bpe" and find_spec("tokenizers") is None:
        pytest.skip("tokenizers is not installed")
    folder, model = cats if tokens == "characters" else (tmp_path, exported(tmp_path, tokens))
    alone = Model(folder / "out")
    assert sorted(one.name for one in (folder / "out").iterdir()) == [
        *("model.onnx", "predict.py", "requirements.txt", "schema.json"),
        *(["texts.py"] if tokens == "bpe" else []),
    ]
    prompt = "a \u00e9t\u00e9 that is longer than a row"[: 30 if tokens != "characters" else 7]
    for temperature, seed in ((0.0, 0), (1.0, 3), (0.7, 4)):
        expected = written(model, prompt, 20, temperature, seed)
        assert alone.generate(prompt, 20, temperature, seed) == expected
    if tokens == "bytes":
        (tmp_path / "raw.txt").write_bytes(b"\xff\xfe the")
        text = alone.read(tmp_path / "raw.txt")
        assert alone.encode(text) == [*b"\xff\xfe the"]
        assert prompt_in(model, tmp_path / "raw.txt") == text
        assert written(model, text, 9, 0.0, 0) == alone.generate(text, 9, 0.0)


def test_the_likeliest_text_is_that_of_the_largest_outputs(cats: tuple[Path, Trained]) -> None:
    """An independent loop over the network of the model itself."""
    folder, model = cats
    known, (member,) = "".join(model.description.classes), model.members
    text = "the cat "
    for _ in range(6):
        row = np.array([[known.index(letter) for letter in text[-8:]]], np.int32)
        text += known[int(np.argmax(model.outputs_of(member.weights, row)[0, -1]))]
    assert Model(folder / "out").generate("the cat ", 6, 0.0) == text[8:]


def test_the_script_writes_to_the_screen_and_to_a_file(
    cats: tuple[Path, Trained], tmp_path: Path
) -> None:
    folder, model = cats
    expected = written(model, "the ", 12, 1.0, 5)
    options = ["--length", "12", "--seed", "5"]
    result = _run(folder, "--prompt", "the ", *options)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{expected}\n", "")
    (tmp_path / "start.txt").write_text("the ")
    result = _run(folder, str(tmp_path / "start.txt"), *options, "-o", str(tmp_path / "out.txt"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "out.txt").read_text() == expected
    again = ["--prompt", "a", "--length", "1", "-o", str(tmp_path / "out.txt")]
    result = _run(folder, *again)
    assert result.returncode == 2
    assert "out.txt: exists: give another name, or --force to replace it" in result.stderr
    result = _run(folder, *again[:-1], str(tmp_path / "nowhere" / "out.txt"))
    assert result.returncode == 2
    assert "cannot be written there: give a file in a folder that exists" in result.stderr
    assert (tmp_path / "out.txt").read_text() == expected
    assert _run(folder, *again, "--force").returncode == 0
    assert (tmp_path / "out.txt").read_text() != expected


def test_mistakes_are_told_in_a_line(cats: tuple[Path, Trained], tmp_path: Path) -> None:
    folder, _ = cats
    for words, code, told in (
        (["--prompt", ""], 2, "the prompt is empty: give --prompt a text"),
        (["--prompt", "the \u732b"], 2, "the model does not know '\u732b', which its training te"),
        ([str(tmp_path / "none.txt")], 2, "No such file"),
        ([], 2, "give a file, or --prompt TEXT"),
        (["--prompt", "a", "--length", "0"], 2, "--length is at least 1"),
        (["--prompt", "a", "--temperature", "nan"], 2, "--temperature from 0 to 100"),
    ):
        result = _run(folder, *words)
        assert (result.returncode, result.stdout) == (code, "")
        assert re.search(told, result.stderr)
        assert "Traceback" not in result.stderr
    with pytest.raises(TextError, match="does not know"):
        Model(folder / "out").encode("cat!")


def test_both_scripts_choose_the_same_instructions_for_int8() -> None:
    # Each is the only script of its folder, so that they cannot import one another.
    assert inspect.getsource(language.engine_options) == inspect.getsource(predict.engine_options)
