"""Language models: the worst passages of a text, and the tokens that are answered badly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.calibration import calibration_curve

from hpo.errors import HpoError
from hpo.trained.explain.explanation import explained
from hpo.trained.explain.findings import How
from hpo.trained.explain.rows import rows_to_explain
from hpo.trained.model import Model, load_model
from hpo.trained.predict import NewData
from tests.study.whole import Studies
from tests.trained.exported.drawn import data_of, drawn
from tests.trained.tables import an_experiment

TEXT = "a rat sat on the hat, and the cat ran at the rat. " * 12
LENGTH = 8


def a_model(folder: Path, tokens: str, end: str = "") -> Model:
    """A language model with drawn weights, which are large enough for different answers."""
    data = data_of(folder, "language")
    (folder / "text.txt").write_text(f"\u00fc{TEXT}{end}")
    dataset = {"text": "text.txt", "length": LENGTH, "tokens": tokens}
    more = {"vocabulary": 300} if tokens == "bpe" else {}
    model, _ = drawn(folder, data | {"dataset": dataset | more}, {"name": "rnn", "width": 8})
    weights = model.members[0].weights
    head = weights["params"]["head"]
    head["kernel"] = np.random.default_rng(0).normal(0, 9, head["kernel"].shape).astype(np.float32)
    return model


def new_text(model: Model, text: str) -> NewData:
    file = model.folder / "new.txt"
    file.write_text(text, newline="")
    return rows_to_explain(model, file, (model.folder,), None)


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return a_model(tmp_path_factory.mktemp("letters"), "characters")


def test_passages_and_tokens_are_judged_as_by_hand(letters: Model) -> None:
    text = TEXT[:170]
    found = explained(letters, new_text(letters, text), How(worst=3))
    known = sorted({*TEXT, "\u00fc"})
    numbers = np.array([known.index(letter) for letter in text])
    count = (len(text) - 1) // LENGTH
    x, y = (numbers[start : start + count * LENGTH].reshape(count, LENGTH) for start in (0, 1))
    member = letters.members[0]
    outputs = np.asarray(letters.outputs_of(member.weights, x.astype(np.int32)), np.float64)
    logs = log_softmax(outputs, axis=-1)
    losses = -np.take_along_axis(logs, y[..., None], -1)[..., 0]
    answers = logs.argmax(-1)
    assert (found.rows, found.noun, found.judged) == (count, "passage", "token")
    assert found.metrics["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert found.metrics["perplexity"] == pytest.approx(np.exp(losses.mean()), rel=1e-4)
    worst = np.argsort(-losses.mean(1))[:3]
    assert [one.row - 1 for one in found.passages] == worst.tolist()
    for one in found.passages:
        start = (one.row - 1) * LENGTH + 1
        assert "".join(one.tokens) == text[start : start + LENGTH]
        np.testing.assert_allclose(one.losses, losses[one.row - 1], rtol=1e-4, atol=1e-6)
        assert one.loss == pytest.approx(np.mean(one.losses))
        assert [*one.answers] == [known[place] for place in answers[one.row - 1]]
    wrong = Counter(y[answers != y].tolist())
    assert [one.wrong for one in found.tokens] == [times for _, times in wrong.most_common(3)]
    for token in found.tokens:
        number = known.index(token.token)
        assert token.times == (y == number).sum()
        assert token.wrong == wrong[number]
        assert token.loss == pytest.approx(losses[y == number].mean(), rel=1e-4)
        instead = Counter(answers[(y == number) & (answers != y)].tolist())
        assert instead[known.index(token.instead)] == max(instead.values())
    right, chance = calibration_curve(
        (answers == y).ravel(), np.exp(logs.max(-1)).ravel(), n_bins=15
    )
    np.testing.assert_allclose([one.accuracy for one in found.calibration], right)
    np.testing.assert_allclose([one.chance for one in found.calibration], chance, rtol=1e-4)
    assert (found.importance, found.worst, found.attribution) == ((), (), None)


def test_a_text_in_pieces_has_the_explanation_of_the_whole(
    letters: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = new_text(letters, TEXT * 4)
    whole = explained(letters, many, How(worst=299))
    monkeypatch.setattr("hpo.trained.predict._MOST_BYTES", 1)  # the fewest rows at once
    pieces = explained(letters, many, How(worst=299))
    assert len(pieces.passages) == 299
    assert pieces.passages == whole.passages
    assert [one.wrong for one in pieces.tokens] == [one.wrong for one in whole.tokens]
    assert pieces.metrics == pytest.approx(whole.metrics, rel=1e-6)
    assert explained(letters, many, How(worst=0)).passages == ()


@pytest.mark.parametrize("tokens", ["bytes", "bpe"])
def test_the_tokens_of_a_passage_are_those_of_the_text(tmp_path: Path, tokens: str) -> None:
    model = a_model(tmp_path, tokens)
    text = "the cat \u00fc ran at the rat. the cat sat on the hat, and on"
    found = explained(model, new_text(model, text), How(worst=99))
    passages = sorted(found.passages, key=lambda one: one.row)
    joined = "".join("".join(one.tokens) for one in passages)
    expected = text.replace("\u00fc", "\\xc3\\xbc")
    first = "the" if joined.startswith(" cat") else "t"
    assert expected.removeprefix(first).startswith(joined)
    # A passage may begin or end within a character.
    whole = "".join(one.text for one in passages).replace("\ufffd\ufffd", "\u00fc")
    assert text.removeprefix(first).startswith(whole)
    assert len(joined) > 30


def test_a_character_that_no_training_text_has_is_a_token_without_a_name(tmp_path: Path) -> None:
    model = a_model(tmp_path, "characters", end="?")  # of the validation text alone
    found = explained(model, new_text(model, "the cat!?"), How())
    (passage,) = found.passages
    assert passage.tokens == ("h", "e", " ", "c", "a", "t", "", "")
    assert passage.text == "he cat\ufffd\ufffd"


def test_the_validation_text_of_the_training_has_the_stored_metrics(
    studies: Studies, tmp_path: Path, hpo: Any
) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    spec = an_experiment(
        tmp_path,
        "train.epochs=1",
        data={"dataset": {"text": "text.txt", "length": LENGTH}, "batch_size": 4},
        model={"name": "rnn", "width": 4},
    )
    studies.train(spec, tmp_path / "model")
    model = load_model(tmp_path / "model", "cpu")
    stored = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    found = explained(model, rows_to_explain(model, None, (tmp_path,), None), How())
    assert found.metrics == pytest.approx(stored["validation"], rel=1e-5)
    shown = hpo("explain", str(tmp_path / "model"), str(tmp_path / "text.txt"), "-q", "--json")
    assert shown.code == 0, shown.err
    plain = json.loads(shown.out)
    assert (plain["rows"], len(plain["passages"])) == ((len(TEXT) - 1) // LENGTH, 10)
    (tmp_path / "text.txt").unlink()
    with pytest.raises(HpoError, match=r"model: give a text: hpo explain .* cannot be read"):
        rows_to_explain(model, None, (tmp_path,), None)


def test_a_text_that_does_not_suit_is_refused(letters: Model, tmp_path: Path) -> None:
    with pytest.raises(HpoError, match=r"none\.txt: there is no such text: correct the path"):
        rows_to_explain(letters, tmp_path / "none.txt", (tmp_path,), None)
    with pytest.raises(HpoError, match=r"has 7 tokens, and a row has 8: give a longer text"):
        explained(letters, new_text(letters, "the cat"), How())
    with pytest.raises(HpoError, match="holds a character that the model does not know"):
        explained(letters, new_text(letters, "the quick brown fox"), How())
