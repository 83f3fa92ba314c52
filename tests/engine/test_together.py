"""Techniques together: the table alone says which pairs are refused, and no other pair fails."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.techniques import check_techniques
from hpo.errors import HpoError, SpecError
from hpo.registry import OPTIMIZERS
from hpo.spec.load import load_document
from hpo.techniques import TECHNIQUES
from tests.engine.samples import Learn
from tests.techniques import are_alternatives, document, excluded, kind_of, small_data

# Those that take all rows in one step are refused beside other batches and models.
NAMES = (*TECHNIQUES, *(n for n, one in OPTIMIZERS.items() if "all rows" not in one.needs))
PAIRS = [pair for pair in combinations(NAMES, 2) if not are_alternatives(pair)]


def _draws(count: int) -> list[tuple[str, ...]]:
    """Draws of five techniques, one of which may be an optimizer."""
    rng, found = Random(15), list[tuple[str, ...]]()
    while len(found) < count:
        names = tuple(rng.sample(NAMES, 5))
        if not are_alternatives(names):
            found.append(names)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSet]:
    """Small data of each kind."""
    return small_data(tmp_path_factory.mktemp("data"))


def _refusal(names: Sequence[str], data: dict[str, DataSet]) -> str:
    """The sentence by which a spec, or else the check of its program, is refused; mostly none."""
    try:
        training = load_document({"name": "pair", **document(names)}, Path()).training
    except SpecError as error:
        return str(error)
    try:
        check_techniques(split(training, data[kind_of(names)], "cpu")[0])
    except HpoError as error:
        return str(error)
    return ""


def test_every_pair_is_refused_where_the_table_excludes_it_and_nowhere_else(
    data: dict[str, DataSet],
) -> None:
    wrong = {}
    for pair in PAIRS:
        said = _refusal(pair, data)
        if bool(said) != excluded(pair) or len(said.splitlines()) > 1:
            wrong[pair] = said or "is accepted"
    assert wrong == {}
    assert len(PAIRS) > 1000


def test_draws_of_five_are_refused_where_the_table_excludes_a_pair_of_them(
    data: dict[str, DataSet],
) -> None:
    wrong = {}
    for names in _draws(300):
        said = _refusal(names, data)
        if bool(said) != excluded(names):
            wrong[names] = said or "is accepted"
    assert wrong == {}


@pytest.mark.long
def test_draws_that_are_accepted_train(learn: Learn, data: dict[str, DataSet]) -> None:
    accepted = [names for names in _draws(300) if not excluded(names)]
    for names in accepted[:20]:
        training = load_document({"name": "draw", **document(names)}, Path()).training
        curves = learn(data[kind_of(names)], [training])
        assert len(curves[0]) == 3, names
