"""Byte pair encoding, beside the library `tokenizers`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.data.text.bpe import bpe_tokens, bpe_vocabulary, byte_text, fit_merges, words_of
from hpo.errors import DataError
from tests.data.text.samples import CHINESE, ENGLISH, sentences

tokenizers = pytest.importorskip("tokenizers", reason="the extra text is not installed")
TEXTS = [*sentences(60, 0, ENGLISH), *sentences(60, 1, CHINESE, "")]
MERGES = fit_merges(TEXTS, 320)


@pytest.fixture(scope="module")
def oracle():
    """A tokenizer of the library that cuts whole texts by a pattern of its own."""
    model = tokenizers.models.BPE()
    found = tokenizers.Tokenizer(model)
    split = tokenizers.Regex(r" ?\w{1,64}| ?[^\w\s]{1,64}|\s{1,64}")
    found.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(split, "isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    found.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    found.train_from_iterator(TEXTS, trainer)
    return found


def test_tokens_are_those_of_the_library(oracle):
    tokens = bpe_tokens(MERGES)
    for text in [*sentences(40, 2, ENGLISH), *sentences(40, 3, CHINESE, ""), "unheard-of 新词"]:
        ids = oracle.encode(text).ids
        whole = [oracle.decode([number]) for number in ids]
        ours = [token.encode("latin-1").decode("utf-8", "replace") for token in tokens(text)]
        assert ours == whole
    assert max(map(len, bpe_vocabulary(MERGES))) > 3
    assert len(bpe_vocabulary(MERGES)) == oracle.get_vocab_size() == 320


@given(st.text())
def test_tokens_together_are_the_text(text):
    assert "".join(words_of(text)) == text
    tokens = bpe_tokens(MERGES)(text)
    assert "".join(tokens) == byte_text(text)
    assert {*tokens} <= {*bpe_vocabulary(MERGES)}


def test_the_order_of_the_training_rows_changes_no_merge():
    np.testing.assert_array_equal(MERGES, fit_merges(TEXTS[::-1], 320))


def test_the_first_merge_is_that_of_the_most_frequent_pair():
    (first, *_) = fit_merges(["xy xy xy ab"], 300)
    assert [chr(byte) for byte in first] == ["x", "y"]


def test_too_few_tokens_for_the_bytes_are_refused():
    with pytest.raises(DataError, match=r"data\.text\.vocabulary: bpe has a token for each of 256"):
        fit_merges(["a"], 256)
