"""Vectors of words from a file."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from hpo.data.text.text_fit import TextFit, fit_texts
from hpo.data.text.vectors import read_vectors
from hpo.errors import DataError
from hpo.spec.sections.columns import Text

GLOVE = "good 1.5 -2\n. . 0 1\nbad 0.25 3e-1\n很好 4 5\ngood 9 9\n"
WORDS = ["bad", "unknown", "good", "很好", ". ."]
FOUND = [[0.25, 0.3], [0, 0], [1.5, -2], [4, 5], [0, 1]]


@pytest.fixture
def write(tmp_path):
    def write(text, name="v.txt"):
        data = text.encode() if isinstance(text, str) else text
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["v.txt", "v.vec", "v.txt.gz"])
@pytest.mark.parametrize("header", ["", "5 2\n"])
def test_the_words_that_are_asked_for_have_the_vectors_of_the_file(write, name, header):
    vectors, is_found = read_vectors(write(header + GLOVE, name), WORDS)
    np.testing.assert_array_equal(vectors, np.array(FOUND, np.float32))
    assert is_found.tolist() == [True, False, True, True, True]


def test_an_npz_file_has_words_and_vectors(tmp_path):
    vectors = np.arange(6, dtype=np.float16).reshape(3, 2)
    np.savez(tmp_path / "v.npz", words=["good", "bad", "ugly"], vectors=vectors)
    found, is_found = read_vectors(tmp_path / "v.npz", ["bad", "none"])
    np.testing.assert_array_equal(found, np.array([[2, 3], [0, 0]], np.float32))
    assert is_found.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("good 1 2\nbad 1\n", r"v.txt:2: has a vector of 1 numbers, and the first one has 2"),
        ("2 3\ngood 1 2\n", r"v.txt:2: has a vector of 2 numbers, and the first one has 3"),
        ("good 1 2\nbad 1 2 3\n", r"has none of the 1 training words|is not all numbers"),
        ("bad one two\n", r"v.txt:1: the vector of bad is not all numbers"),
        ("bad nan 1\n", r"the vector of 'bad' is not finite"),
        ("other 1 2\n", r"has none of the 1 training words, such as 'bad'"),
        ("", r"has none of the 1 training words"),
    ],
)
def test_a_file_without_vectors_of_one_size_is_refused(write, text, told):
    with pytest.raises(DataError, match=f"data.text.embeddings: .*({told})"):
        read_vectors(write(text), ["bad"])


def test_a_file_that_is_missing_or_no_npz_is_refused(write, tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_vectors(tmp_path / "none.txt", ["a"])
    with pytest.raises(DataError, match=r"is no \.npz file with arrays words and vectors"):
        read_vectors(write("no", "v.npz"), ["a"])
    np.savez(tmp_path / "w.npz", words=["a", "b"], vectors=np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"2 words have vectors of the shape \[3, 2\]"):
        read_vectors(tmp_path / "w.npz", ["a"])


def test_a_text_is_the_mean_of_the_vectors_of_its_words(write, tmp_path):
    write(GLOVE)
    spec = Text(vectors="mean", embeddings="v.txt", stop_words=())
    fitted = fit_texts(["good film", "bad"], spec, "review", tmp_path)
    stored = TextFit.from_arrays(fitted.to_arrays())
    found = stored.apply(["Good, bad good film", "film", ""])
    np.testing.assert_allclose(found[0], [(1.5 + 0.25 + 1.5) / 3, (-2 + 0.3 - 2) / 3], rtol=1e-6)
    np.testing.assert_array_equal(found[1:], 0)
    assert found.dtype == np.float32


def test_the_vectors_of_ids_are_those_of_the_file(write, tmp_path):
    write(GLOVE)
    spec = Text(vectors="ids", embeddings="v.txt", stop_words=())
    fitted = TextFit.from_arrays(
        fit_texts(["good film", "bad good"], spec, "review", tmp_path).to_arrays()
    )
    ids = fitted.apply(["good unheard bad film"])[0, :5].tolist()
    assert ids[-1] == 0
    expected = [[1.5, -2], [0, 0], [0.25, 0.3], [0, 0], [0, 0]]
    np.testing.assert_array_equal(fitted.embeddings[ids], np.array(expected, np.float32))
    assert fitted.embeddings.shape == (fitted.ids, 2)


def test_a_mean_needs_vectors():
    with pytest.raises(ValueError, match="vectors: mean needs embeddings"):
        Text(vectors="mean")
