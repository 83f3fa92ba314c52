"""Texts for a language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpo
from hpo.data.load import read_source
from hpo.data.split import split_sizes
from hpo.errors import HpoError
from hpo.trained.kinds.text import text_score, written
from hpo.trained.model import Model, load_model
from tests.study.whole import Studies
from tests.trained.tables import an_experiment

TEXT = "the cat sat on the mat. a rat ran at the hat. " * 30


def a_language(folder: Path, cache: Path, text: str, *overrides: str, **dataset: Any) -> Path:
    """The folder of a language `model` of a text, and of the text of its validation, `new.txt`."""
    (folder / "text.txt").write_text(text)
    spec = an_experiment(
        folder,
        *overrides,
        data={"dataset": {"text": "text.txt", "length": 8, **dataset}, "batch_size": 4},
        model={"name": "rnn", "width": 8},
    )
    Studies(folder, cache).train(spec, folder / "model")
    data = spec.training.data
    size = len(read_source(data, folder, None))
    sizes = split_sizes(data, size, has_own_test=False, classes=0)
    start = sizes.left_out + sizes.train
    (folder / "new.txt").write_text(text[start : start + sizes.validation])
    return folder


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory, compile_cache: Path) -> Path:
    return a_language(tmp_path_factory.mktemp("cats"), compile_cache, TEXT)


@pytest.fixture(scope="module")
def model(cats: Path) -> Model:
    return load_model(cats / "model", "cpu")


@pytest.mark.long
@pytest.mark.parametrize("tokens", ["characters", "bytes", "bpe"])
def test_the_score_of_the_validation_text_is_the_stored_one_to_the_bit(
    cats: Path, tmp_path: Path, compile_cache: Path, tokens: str
) -> None:
    if tokens != "characters":
        cats = a_language(tmp_path, compile_cache, TEXT, tokens=tokens)
    stored = json.loads((cats / "model" / "metrics.json").read_text())["metrics"]
    model = load_model(cats / "model", "cpu")
    assert text_score(model, cats / "new.txt") == stored["validation"]
    assert isinstance(written(model, "the", 5, 1.0, 0), str)


def test_the_likeliest_text_is_that_of_the_outputs_themselves(model: Model) -> None:
    """An independent loop: full rows alone, and the largest output."""
    known = "".join(model.description.classes)
    (member,) = model.members
    text = "the cat "
    for _ in range(6):
        row = np.array([[known.index(letter) for letter in text[-8:]]], np.int32)
        text += known[int(np.argmax(model.outputs_of(member.weights, row)[0, -1]))]
    assert written(model, "the cat ", 6, 0.0, 0) == text[8:]


def test_tokens_behind_a_place_do_not_change_its_answer(model: Model) -> None:
    (member,) = model.members
    rows = np.array([[1, 2, 3, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8]], np.int32)
    outputs = np.asarray(model.outputs_of(member.weights, rows))
    assert outputs[0, :3].tobytes() == outputs[1, :3].tobytes()


def test_a_seed_writes_one_text_and_a_low_temperature_the_likeliest(model: Model) -> None:
    def text(temperature: float, seed: int) -> str:
        return written(model, "a ", 30, temperature, seed)

    assert text(1.0, 3) == text(1.0, 3) != text(1.0, 4)
    assert text(1e-6, 3) == text(0.0, 0)
    assert hpo.load(model.folder).generate("a ", length=30, seed=3) == text(1.0, 3)


def test_tokens_are_drawn_by_their_chances(model: Model) -> None:
    (member,) = model.members
    known = "".join(model.description.classes)
    row = np.array([[known.index("t"), *[0] * 7]], np.int32)
    outputs = np.asarray(model.outputs_of(member.weights, row)[0, 0], np.float64)
    expected = np.exp(outputs) / np.exp(outputs).sum()
    drawn = [written(model, "t", 1, 1.0, seed) for seed in range(600)]
    shares = np.array([drawn.count(letter) / 600 for letter in known])
    assert np.abs(shares - expected).max() < 0.07


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the prompt is empty: give --prompt a text"),
        ("the \u732b", "the prompt: holds a character that the model does not know"),
    ],
)
def test_a_prompt_that_does_not_suit_is_refused(model: Model, text: str, told: str) -> None:
    with pytest.raises(HpoError, match=told):
        written(model, text, 5, 1.0, 0)


def test_the_mean_of_several_seeds_writes(tmp_path: Path, compile_cache: Path) -> None:
    a_language(tmp_path, compile_cache, TEXT, "train.seeds=2", "train.epochs=1")
    model = load_model(tmp_path / "model", "cpu")
    assert len(written(model, "the", 4, 0.0, 0)) == 4
    with pytest.raises(HpoError, match="--score is for one model: train with one seed"):
        text_score(model, tmp_path / "new.txt")


def test_a_text_that_is_missing_or_too_short_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(HpoError, match=r"none\.txt: there is no such text"):
        text_score(model, tmp_path / "none.txt")
    (tmp_path / "short.txt").write_text("the cat")
    with pytest.raises(HpoError, match=r"short\.txt: has 7 tokens, and a row has 8"):
        text_score(model, tmp_path / "short.txt")
