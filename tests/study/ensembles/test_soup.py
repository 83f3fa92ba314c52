"""Soups of trials that start from one trained model, compared with NumPy."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

import hpo
from hpo.api.winning import Winner
from hpo.data.load import load_data
from hpo.errors import HpoError
from hpo.study.ensembles.soup import check_soup
from hpo.trained.model import load_model
from tests.study.ensembles.test_ensemble import ensemble
from tests.study.whole import Studies
from tests.trained.tables import an_experiment, write_table

MODEL = {"name": "mlp", "widths": [4], "from": "base"}
RATES = (0.03, 0.3, 0.003)


@pytest.fixture
def studies(tmp_path: Path, compile_cache: Path) -> Studies:
    return Studies(tmp_path, compile_cache)


def trials(folder: Path, *overrides: str, **parts: Any) -> list[Winner]:
    return [
        Winner(
            an_experiment(
                folder,
                f"optimizer.learning_rate={rate}",
                *overrides,
                **{"model": MODEL, **parts},
            ),
            number,
            (),
        )
        for rate, number in zip(RATES, (7, 3, 12), strict=True)
    ]


def layers(folder: Path) -> list[np.ndarray]:
    """The arrays of a model with one hidden layer: kernel and bias of each layer."""
    params = load_model(folder, "cpu").members[0].weights["params"]
    hidden, head = params["linears"][0], params["head"]
    return [np.asarray(one[part]) for one in (hidden, head) for part in ("kernel", "bias")]


def log_loss(weights: list[np.ndarray], split: Any) -> float:
    first, bias, head, offset = (np.asarray(one, np.float64) for one in weights)
    outputs = np.maximum(split.x @ first + bias, 0) @ head + offset
    return float(-log_softmax(outputs, axis=1)[np.arange(len(split.y)), split.y].mean())


@pytest.mark.long
def test_a_soup_is_one_model_of_the_mean_weights_beside_the_winner(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    studies.train(an_experiment(tmp_path), tmp_path / "base")
    candidates, folder = trials(tmp_path), tmp_path / "soup"
    alone = []
    for place, candidate in zip(count(), candidates, strict=False):
        studies.train(candidate.experiment, tmp_path / f"alone-{place}")
        alone.append(layers(tmp_path / f"alone-{place}"))
    data = load_data(candidates[0].experiment.training.data, tmp_path, None)
    splits = {"validation": data.validation, "test": data.test}

    def soup_of(places: list[int]) -> list[np.ndarray]:
        return [np.mean(arrays, axis=0) for arrays in zip(*[alone[p] for p in places], strict=True)]

    order = sorted(range(3), key=lambda p: log_loss(alone[p], data.validation))
    chosen = [order[0]]
    for place in order[1:]:
        before, after = soup_of(chosen), soup_of([*chosen, place])
        if log_loss(after, data.validation) <= log_loss(before, data.validation):
            chosen.append(place)
    expected = {"trial 7": [0], "mean of weights": [0, 1, 2], "greedy soup": chosen}

    made = ensemble(studies, candidates, folder, is_soup=True)
    for name, places in expected.items():
        for split, own in splits.items():
            found = made.compared[name][split]
            assert found is not None
            assert found["loss"] == pytest.approx(log_loss(soup_of(places), own), abs=1e-5), name
    numbers = [(7, 3, 12)[place] for place in sorted(chosen)]
    assert [*made.members] == numbers
    for one, mean in zip(layers(folder), soup_of(chosen), strict=True):
        np.testing.assert_allclose(one, mean, rtol=1e-6)
    stored = json.loads((folder / "metrics.json").read_text())
    assert stored["provenance"]["souped"] == numbers
    assert stored["temperature"] == made.temperature
    assert not (folder / "members").exists()
    assert len(hpo.load(folder).predict(tmp_path / "table.csv")) == 120

    plain = ensemble(studies, candidates, folder, is_soup=True, is_plain=True, is_replaced=True)
    assert plain.shares == pytest.approx(dict.fromkeys((7, 3, 12), 1 / 3))
    for one, mean in zip(layers(folder), soup_of([0, 1, 2]), strict=True):
        np.testing.assert_allclose(one, mean, rtol=1e-6)

    other = trials(tmp_path, "data.normalize=minmax")[1:2]
    with pytest.raises(HpoError, match=r"--soup: trial 3 makes its features otherwise than trial"):
        ensemble(studies, [candidates[0], *other], tmp_path / "other", is_soup=True)
    assert not [*tmp_path.glob("*other*")]  # no trial was trained for it


def test_trials_without_one_start_and_structure_are_refused_in_a_sentence(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    studies.train(an_experiment(tmp_path, "train.epochs=1"), tmp_path / "base")
    studies.train(an_experiment(tmp_path, "train.epochs=2"), tmp_path / "next")
    drawn = trials(tmp_path, model={"name": "mlp", "widths": [4]})
    with pytest.raises(HpoError, match=r"^--soup: trial 7 draws its first weights, and only"):
        check_soup(drawn)
    first = trials(tmp_path)[0]
    with pytest.raises(HpoError, match=r"trial 3 starts from other weights than trial 7: give a"):
        check_soup([first, trials(tmp_path, "model.from=next")[1]])
    with pytest.raises(HpoError, match=r"trial 3 has another model than trial 7"):
        check_soup([first, trials(tmp_path, "model.activation=tanh")[1]])
    leaky, steep = (
        trials(tmp_path, model={**MODEL, "activation": "leaky_relu", "slope": slope})
        for slope in (0.1, 0.3)
    )
    with pytest.raises(HpoError, match=r"trial 3 has another model than trial 7"):
        check_soup([leaky[0], steep[1]])
    with pytest.raises(HpoError, match=r"trial 3 has another model than trial 7"):
        check_soup([first, trials(tmp_path, "compression={activations: {bits: 8}}")[1]])
    with pytest.raises(HpoError, match=r"trial 7 has several seeds or folds"):
        check_soup(trials(tmp_path, "train.seeds=2"))
    with pytest.raises(HpoError, match=r"trial 7 has compressed weights; their mean would not be"):
        check_soup(trials(tmp_path, "compression={weights: {name: integer, bits: 4}}"))
    check_soup([first, trials(tmp_path, "model.dropout=0.1")[1]])
