"""Techniques together: the table alone says which pairs are refused, and no other pair fails."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hpo.data.dataset import DataSet
from hpo.engine.pools.streaming import data_bytes
from hpo.engine.program import split
from hpo.engine.techniques import check_techniques
from hpo.errors import DeviceError, HpoError, SpecError
from hpo.registry import OPTIMIZERS
from hpo.spec.experiment import Training
from hpo.spec.fill import with_rows
from hpo.spec.load import load_document
from hpo.spec.marks import with_leaves
from hpo.techniques import TECHNIQUES
from tests.engine.samples import Learn, unmerged
from tests.techniques import are_alternatives, document, excluded, kind_of, merged, small_data

# Bytes that the small data of each kind exceed.
BUDGETS = {"table": 2600, "images": 90_000, "series": 6000, "texts": 2000}
# Leaves of the model are of some models only: of the transformer for texts, or of the mlp.
_OF_MODELS = [name for name, line in TECHNIQUES.items() if line.place.startswith("model.")]
_LISTED = [name for name, line in TECHNIQUES.items() if not line.place.startswith("model.")]
# Those that take all rows in one step train few of the models here.
NAMES = (*_LISTED, *(n for n, one in OPTIMIZERS.items() if "all rows" not in one.needs))
PAIRS = [pair for pair in combinations([*_LISTED, *OPTIMIZERS], 2) if not are_alternatives(pair)]
PAIRS += [
    pair
    for pair in product(_OF_MODELS, [*_LISTED, *OPTIMIZERS])
    # Of batch norms, which the transformer has not, and which privacy refuses by themselves.
    if pair[0] != "norm_momentum" or not (kind_of(pair) == "texts" or pair[1] == "privacy")
]


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


def _training(names: Sequence[str], more: dict[str, Any] | None = None) -> Training:
    written = merged(document(names), more or {})
    return load_document({"name": "draw", **written}, Path()).training


def _refusal(names: Sequence[str], data: dict[str, DataSet]) -> str:
    """The sentence by which a spec, or else the check of its program, is refused; mostly none."""
    try:
        training = load_document({"name": "pair", **document(names)}, Path()).training
    except SpecError as error:
        return str(error)
    try:
        training = with_rows(training, data[kind_of(names)].train_rows)
        check_techniques(split(training, data[kind_of(names)], "cpu")[0])
    except HpoError as error:
        return str(error)
    return ""


@pytest.mark.long
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
        curves = learn(data[kind_of(names)], [_training(names)])
        assert len(curves[0]) == 3, names


@pytest.mark.long
def test_draws_learn_the_same_from_streamed_data_or_are_refused(
    learn: Learn, data: dict[str, DataSet]
) -> None:
    refused = 0
    for names in [names for names in _draws(60) if not excluded(names)][:8]:
        kind, training = kind_of(names), _training(names)
        assert data_bytes(data[kind]) > BUDGETS[kind]
        small = with_leaves(training, {"data.device_budget": BUDGETS[kind]})
        if any("streaming" in TECHNIQUES[name].excludes for name in names if name in TECHNIQUES):
            refused += 1
            with pytest.raises(DeviceError, match=r"data\.device_budget streams rows in one order"):
                learn(data[kind], [small])
        else:
            streamed, whole = learn(data[kind], [small])[0], learn(data[kind], [training])[0]
            # How half precision rounds colours depends on the code around them.
            near = 1e-4 if "float16" in names else 0
            for one, other in zip(streamed, whole, strict=True):
                assert one == pytest.approx(other, rel=near, abs=0), names
    assert 0 < refused < 8


@pytest.mark.long
def test_draws_learn_the_same_in_merged_programs(learn: Learn, data: dict[str, DataSet]) -> None:
    listed: dict[str, Any] = {"batch_size": [8, 16], "widths": [[6], [12]]}
    listed |= {"optimizer": [{"name": "sgd"}, {"name": "adam"}]}
    for names in [names for names in _draws(60) if not excluded(names)][8:16]:
        kind, training = kind_of(names), _training(names, {"train": {"merged": listed}})
        found = {path for path, _ in split(training, data[kind], "cpu")[0].merged}
        lines = [TECHNIQUES.get(name) or OPTIMIZERS[name] for name in names]
        needs = {need for line in lines for need in line.needs}
        assert ("data.batch_size" in found) == ("whole batch" not in needs), names
        if kind != "texts":
            assert ("model.widths" in found) == ("own sizes" not in needs), names
        together, alone = learn(data[kind], [training]), learn(data[kind], [unmerged(training)])
        # Sums over parts of a batch round otherwise than over the whole.
        near = 1e-2 if "bfloat16" in names else 1e-4
        for one, other in zip(together[0], alone[0], strict=True):
            assert one == pytest.approx(other, rel=near, abs=1e-6), names
