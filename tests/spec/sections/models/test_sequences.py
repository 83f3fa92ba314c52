"""What models of sequences cannot do, said before any data is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.errors import SpecError
from hpo.spec.load import load_document
from tests.documents import SMALL

LANGUAGE = {
    "data": {"dataset": {"text": "a.txt"}},
    "search": {"objective": {"minimize": "loss"}, "trials": 10},
}


def _load(model: dict[str, Any], **sections: Any) -> None:
    load_document({**SMALL, **sections, "model": {"name": "rnn", **model}}, Path())


def test_both_directions_of_a_running_text_are_refused() -> None:
    with pytest.raises(SpecError, match=r"model\.bidirectional: true reads the tokens that are to"):
        _load({"bidirectional": True}, **LANGUAGE)
    _load({"bidirectional": False}, **LANGUAGE)
    _load({"bidirectional": True})


def test_a_tied_head_needs_a_running_text_and_vectors_as_wide_as_the_model() -> None:
    tied = {"name": "transformer", "tie_embeddings": True, "width": 8}
    with pytest.raises(
        SpecError, match=r"model\.tie_embeddings: true finds the next token of a te"
    ):
        _load(tied)
    with pytest.raises(SpecError, match=r"model\.tie_embeddings: true needs vectors of 8 numbers"):
        _load({**tied, "embedding": 4}, **LANGUAGE)
    _load({**tied, "embedding": 8}, **LANGUAGE)


def test_vectors_that_stay_need_a_file() -> None:
    frozen = {"freeze_embedding": True}
    with pytest.raises(
        SpecError, match=r"model\.freeze_embedding: .* data\.text\.embeddings names"
    ):
        _load(frozen)
    text = {"vectors": "ids", "embeddings": "v.txt"}
    _load(frozen, data={"dataset": {"csv": "t.csv", "target": "y"}, "text": text})


def test_a_space_that_holds_such_a_value_is_refused() -> None:
    space = {"model.bidirectional": {"choice": [False, True]}}
    with pytest.raises(SpecError, match=r"model\.bidirectional: true reads the tokens"):
        _load({}, **LANGUAGE, space=space)
