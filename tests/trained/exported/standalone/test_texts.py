"""Texts in an exported folder: as in training, by code that needs neither hpo nor JAX."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.text.reduce import language_of
from hpo.data.text.text_fit import fit_texts
from hpo.spec.sections.columns import Text
from hpo.trained.exported.folder import export_onnx
from hpo.trained.exported.standalone.predict import Model
from hpo.trained.exported.standalone.texts import text_input
from tests.trained.exported.drawn import drawn, write

TEXTS = [
    "The cat, the CAT & a dog's 3.0 cats!",
    "",
    "  \tÉcole — naïve cafe\u0301 日本 x_1 ",
    "the the the dog 😀😀 <b>a</b>",
    "我 爱北京天安门 and the cat",
    "a" * 200 + " end",
]
LEAVES: list[dict[str, Any]] = [
    {"vectors": "counts"},
    {"vectors": "counts", "punctuation": "keep", "lower": False, "shortest": 1},
    {"vectors": "counts", "ngrams": [1, 3], "stop_words": ["the", "a"]},
    {"vectors": "counts", "tokens": "characters", "ngrams": [2, 3]},
    {"vectors": "ids", "length": 5, "vocabulary": 6},
    {"vectors": "ids", "length": 300, "tokens": "bytes", "punctuation": "keep"},
    {"vectors": "ids", "length": 40, "tokens": "bpe", "vocabulary": 300},
    {"vectors": "counts", "tokens": "jieba", "stop_words": ["the"]},
    {"vectors": "counts", "reduce": "stem", "stop_words": ["dog"], "ngrams": [1, 2]},
    {"vectors": "ids", "length": 9, "reduce": "stem", "language": "french"},
    {"vectors": "counts", "reduce": "lemma", "language": "german"},
]
LIBRARIES = {
    "bpe": "tokenizers",
    "jieba": "jieba",
    "stem": "snowballstemmer",
    "lemma": "simplemma",
}


@pytest.mark.long
@pytest.mark.parametrize("leaves", LEAVES, ids=str)
def test_tokens_are_those_of_training(leaves: dict[str, Any]) -> None:
    for leaf in ("tokens", "reduce"):
        needed = LIBRARIES.get(leaves.get(leaf, ""))
        if needed is not None and find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    fit = fit_texts(TEXTS, Text(**leaves), "text")
    plain = {
        **fit.spec.model_dump(mode="json"),
        "language": language_of(fit.spec),
        "stop_words": [*fit.spec.stop_words],
        "vocabulary": [*fit.vocabulary],
        "merges": None if fit.merges is None else fit.merges.tolist(),
    }
    for texts in (TEXTS, ["unseen words 中", "the cat\ufffd\u200b"]):
        found, expected = text_input(plain)(texts), fit.apply(texts)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_a_word_is_its_stem_by_the_paper() -> None:
    """Porter 1980, "An algorithm for suffix stripping": connected and connections are `connect`."""
    pytest.importorskip("snowballstemmer", reason="the extra `text` is not installed")
    fit = {"vectors": "counts", "tokens": "words", "reduce": "stem", "language": "porter"}
    rest = {"lower": True, "punctuation": "remove", "shortest": 2, "ngrams": [1, 1]}
    counts = text_input({**fit, **rest, "stop_words": [], "vocabulary": ["connect", "connected"]})
    assert counts(["Connected connections, connecting"]).tolist() == [[3, 0]]


def _exported(folder: Path, text: dict[str, Any], model: dict[str, Any]) -> tuple[Any, Any]:
    """The model of a table with a column of texts, and the rows that validate; it is exported."""
    rng, is_alone = np.random.default_rng(1), text["vectors"] == "ids"
    rows = [
        [
            " ".join(rng.choice(["Alpha", "beta!", "gamma", "3.0"], 5)) if row % 7 else "",
            *([] if is_alone else [round(rng.normal(), 3), "uvw"[row % 3]]),
            "ny"[row % 2],
        ]
        for row in range(40)
    ]
    write(folder / "texts.csv", ["text", *([] if is_alone else ["a", "c"]), "y"], rows)
    data = {
        "dataset": {"csv": "texts.csv", "target": "y"},
        "batch_size": 8,
        "columns": {"by_name": {"text": {"type": "text"}}},
        "text": text,
    }
    found, source = drawn(folder, data, model)
    assert source is not None
    export_onnx(found, folder / "out", source, 1e-5)
    return found, source


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ({"vectors": "tfidf", "ngrams": [1, 2]}, {"name": "mlp", "widths": [4]}),
        ({"vectors": "mean", "embeddings": "words.npz"}, {"name": "mlp", "widths": [4]}),
        ({"vectors": "ids", "length": 6}, {"name": "rnn", "width": 4}),
        ({"vectors": "tfidf", "reduce": "stem"}, {"name": "mlp", "widths": [4]}),
    ],
)
def test_the_script_answers_for_texts_as_the_model_does(
    text: dict[str, Any], model: dict[str, Any], tmp_path: Path
) -> None:
    if "reduce" in text:
        pytest.importorskip("snowballstemmer", reason="the extra `text` is not installed")
    vectors = np.array([[1.0, 2.0], [-3.0, 0.5]], np.float32)
    np.savez(tmp_path / "words.npz", words=np.array(["alpha", "gamma"]), vectors=vectors)
    found, source = _exported(tmp_path, text, model)
    texts, codes = source.values[0], source.categories[:, 0]
    rows = [
        {"text": texts[code] if code >= 0 else None, "a": source.x[row, 0] if source.names else 0}
        for row, code in enumerate(codes)
    ]
    for row, code in zip(rows, source.categories[:, -1], strict=True):
        row["c"] = source.values[-1][code]
    answers = Model(tmp_path / "out").answers(rows)
    expected = found.predictions(source)
    np.testing.assert_allclose(answers["y_y"], expected[:, 1], atol=1e-5)
    needed = (tmp_path / "out" / "requirements.txt").read_text()
    assert ("snowballstemmer" in needed) == ("reduce" in text)


def test_the_folder_needs_no_hpo(tmp_path: Path) -> None:
    _exported(tmp_path, {"vectors": "tfidf"}, {"name": "mlp", "widths": [4]})
    (tmp_path / "new.csv").write_text("text,a,c\nalpha new,0.5,u\n,,\n")
    alone = (
        "import runpy, sys\n"
        "sys.modules |= dict.fromkeys(('jax', 'hpo', 'pandas', 'onnx', 'jieba'))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    words = [str(tmp_path / "out" / "predict.py"), str(tmp_path / "new.csv")]
    result = subprocess.run(
        [sys.executable, "-c", alone, *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 3
    requirements = (tmp_path / "out" / "requirements.txt").read_text()
    assert "jieba" not in requirements
