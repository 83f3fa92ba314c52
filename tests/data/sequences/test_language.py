"""A text as pieces whose targets are one token later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.data.dataset import SPLITS, DataSet, held_bytes
from hpo.data.load import load_data
from hpo.data.text.bpe import bpe_vocabulary, fit_merges
from hpo.errors import DataError, SpecError
from hpo.spec.load import load_document
from hpo.spec.sections.data import DataSpec
from tests.documents import SMALL

TEXT = "".join(np.random.default_rng(0).choice([*"abcde é中"], 400)) + "x中€" * 30


def _spec(folder: Path, data: Any = None, **dataset: Any) -> DataSpec:
    document = {
        **SMALL,
        "data": {"dataset": {"text": "a.txt", "length": 7, **dataset}, "batch_size": 4}
        | (data or {}),
        "search": {"objective": {"minimize": "perplexity"}, "trials": 2},
    }
    return load_document(document, folder).training.data


def _load(folder: Path, text: str = TEXT, data: Any = None, **dataset: Any) -> DataSet:
    (folder / "a.txt").write_text(text, encoding="utf-8", newline="")
    return load_data(_spec(folder, data, **dataset), folder, None)


def test_rows_are_pieces_of_each_split_in_order_and_targets_are_one_token_later(
    tmp_path: Path,
) -> None:
    data = _load(tmp_path)
    assert (data.task, data.train.x.dtype, data.train.x.shape[1:]) == ("language", np.int32, (7,))
    names = np.array([*data.classes[:-1], "?"])  # the last class is what training has not
    ends = {"train": (0, 294), "validation": (294, 392), "test": (392, 490)}
    for split in SPLITS:
        part, own = getattr(data, split), TEXT[slice(*ends[split])]
        known = "".join(one if one in data.classes else "?" for one in own)
        assert len(part) == (len(own) - 1) // 7
        for row, (x, y) in enumerate(zip(part.x, part.y, strict=True)):
            assert "".join(names[x]) == known[7 * row : 7 * row + 7]
            assert "".join(names[y]) == known[7 * row + 1 : 7 * row + 8]


def test_the_vocabulary_is_that_of_the_training_part_and_the_rest_is_one_token(
    tmp_path: Path,
) -> None:
    data = _load(tmp_path)
    assert data.classes == (*sorted({*TEXT[:294]}), "")
    assert data.outputs == len(data.classes)
    assert data.notes == (
        "a.txt: 2 characters of validation and test do not occur in the training part: they are "
        "one token, at 60 places.",
    )
    lengths = data.transform.more["token_bytes"]
    assert lengths.tolist() == [*(len(c.encode()) for c in data.classes[:-1]), 2.0]  # x and €
    assert held_bytes(data.train.shared) == 4 * (490 + len(data.train.shared.starts))  # type: ignore[attr-defined]


def test_bytes_are_the_256_that_there_are(tmp_path: Path) -> None:
    data = _load(tmp_path, tokens="bytes")
    assert (data.outputs, data.classes, data.notes) == (256, (), ())
    rows = (len(TEXT.encode()) * 6 // 10 - 1) // 7
    assert bytes(data.train.x.ravel().astype(np.uint8)) == TEXT.encode()[: 7 * rows]
    assert (data.transform.more["token_bytes"] == 1).all()


def test_byte_pairs_are_those_of_the_training_part_and_decode_to_the_whole_text(
    tmp_path: Path,
) -> None:
    text = "the cat sat on the mat. " * 30 + "a dog; é中 " * 20 + "new zebras ran\n" * 20
    data = _load(tmp_path, text, tokens="bpe", vocabulary=280)
    ends = [0, *(round(len(text) * share) for share in (0.6, 0.8, 1.0))]
    merges = fit_merges([text[: ends[1]]], 280)
    tokens = bpe_vocabulary(merges)
    assert (data.outputs, data.classes, data.notes) == (len(tokens), (), ())
    assert 256 < len(tokens) <= 280
    np.testing.assert_array_equal(data.transform.more["merges"], merges)
    for split, start, end in zip(SPLITS, ends[:-1], ends[1:], strict=True):
        part = getattr(data, split)
        x, y = part.x.ravel(), part.y.ravel()
        written = "".join(tokens[one] for one in [x[0], *y]).encode("latin-1")
        assert text[start:end].encode().startswith(written)
        assert 0 <= len(text[start:end].encode()) - len(written) < 7 * 24
        sizes = data.transform.more["token_bytes"]
        assert sizes[y].sum() == len(written) - sizes[x[0]]
    assert data.transform.more["token_bytes"].max() > 2


def test_other_tokens_or_lengths_are_other_data(tmp_path: Path) -> None:
    prints = {
        _load(tmp_path, **dataset).fingerprint
        for dataset in (
            {},
            {"length": 8},
            {"tokens": "bytes"},
            {"tokens": "bpe"},
            {"tokens": "bpe", "vocabulary": 300},
        )
    }
    assert len(prints) == 5


@pytest.mark.parametrize(
    ("text", "dataset", "data", "says"),
    [
        (TEXT, {"length": 98}, {}, r"the validation split has 98 tokens, too few for a row of 98"),
        ("a" * 100, {}, {}, r"a\.txt: has no two different characters to train on"),
        (TEXT, {"tokens": "bpe", "vocabulary": 200}, {}, r"data\.dataset\.vocabulary: bpe has a t"),
        (TEXT, {}, {"columns": {"flag": True}}, r"data\.columns: a text of its own has no"),
        (TEXT, {}, {"class_weight": "balanced"}, r"data\.class_weight: weighs classes, and the ta"),
        (TEXT, {}, {"split": {"time": "a"}}, r"split names a column, and this data set has none"),
    ],
)
def test_a_text_that_cannot_be_learnt_is_refused(
    tmp_path: Path, text: str, dataset: dict[str, Any], data: dict[str, Any], says: str
) -> None:
    with pytest.raises((DataError, SpecError), match=says):
        _load(tmp_path, text, data, **dataset)
