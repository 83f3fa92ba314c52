"""The parts of words: a linear model of counts has them in its weights."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from hpo.data.transforms.features import Features, TextColumn
from hpo.spec.load import load_document
from hpo.trained.explain.explanation import How, explained
from hpo.trained.explain.tokens import MOST_WORDS, left_out, text_columns
from hpo.trained.model import load_model
from hpo.trained.predict import read_new
from hpo.trained.weights import read_weights
from tests.study.whole import Studies

GOOD, BAD, OTHER = ("great", "warm"), ("awful", "cold"), ("the", "soup", "today", "was")


def write_reviews(path: Path) -> None:
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["note", "liked"])
        for row in range(80):
            own = rng.choice(GOOD if row % 2 else BAD, 1)
            words = rng.permutation([*own, *rng.choice(OTHER, 3, replace=False)])
            writer.writerow([" ".join(words), "yes" if row % 2 else "no"])


def test_the_words_of_a_text_are_left_out_one_at_a_time() -> None:
    assert left_out("so  good!") == (("so", "good!"), ("  good!", "so  "))
    assert left_out("great") == (("great",), ("",))
    assert left_out("好吃") == (("好", "吃"), ("吃", "好"))
    assert left_out(" ") == ((), ())
    assert len(left_out("a " * 999)[0]) == MOST_WORDS


def test_only_texts_have_words() -> None:
    texts = (TextColumn("city", ("Oslo",)), TextColumn("note", None))
    assert text_columns(Features(texts=texts)) == {"note": 1}


def test_the_part_of_a_word_is_its_weight_in_a_linear_model_of_counts(
    studies: Studies, tmp_path: Path
) -> None:
    write_reviews(tmp_path / "reviews.csv")
    document = {
        "name": "reviews",
        "data": {
            "dataset": {"csv": "reviews.csv", "target": "liked"},
            "batch_size": 16,
            "columns": {"by_name": {"note": {"type": "text"}}},
            "text": {"vectors": "counts"},
            "normalize": "none",
        },
        "model": {"name": "mlp", "widths": []},
        "optimizer": {"name": "adamw", "learning_rate": 0.1},
        "train": {"epochs": 5},
    }
    studies.train(load_document(document, tmp_path, ()), tmp_path / "model")
    model = load_model(tmp_path / "model", "cpu")
    new = read_new(model, tmp_path / "reviews.csv", with_target=True)
    found = explained(model, new, How(repeats=2, worst=2))
    kernel = read_weights(tmp_path / "model", "model").runs[""]["params/head/kernel"]
    vocabulary = sorted({*GOOD, *BAD, *OTHER})
    assert len(kernel) == len(vocabulary)
    texts = (tmp_path / "reviews.csv").read_text().splitlines()[1:]
    classes = model.predictions(new.source).argmax(1)
    assert {one.row for one in found.words} >= {1, 2, 3, *(one.row for one in found.worst)}
    for one in found.words:
        assert one.column == "note"
        assert " ".join(one.words) == texts[one.row - 1].split(",")[0]
        sign = 1 if classes[one.row - 1] else -1
        weights = sign * (kernel[:, 1] - kernel[:, 0])
        expected = [weights[vocabulary.index(word)] for word in one.words]
        np.testing.assert_allclose(one.parts, expected, atol=1e-4)
        strongest = one.words[int(np.abs(one.parts).argmax())]
        assert strongest in (*GOOD, *BAD)
    assert explained(model, new, How(repeats=2, worst=0)).words == ()
