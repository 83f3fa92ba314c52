"""The models of the trials of an ensemble, compared with those that `hpo train` gives."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from hpo.api.winning import Winner
from hpo.study.progress import Progress
from hpo.study.signals import StoppedError, StopRequest
from hpo.trained.load import metrics_document
from hpo.trained.model import load_model
from tests.study.ensembles.test_ensemble import ensemble, trials
from tests.study.whole import Studies
from tests.trained.tables import an_experiment, write_table


@pytest.fixture
def studies(tmp_path: Path, compile_cache: Path) -> Studies:
    write_table(tmp_path / "table.csv")
    return Studies(tmp_path, compile_cache)


def assert_trained(studies: Studies, candidates: list[Winner], folder: Path) -> None:
    """Members have the weights and the metrics that training each alone gives."""
    for one in candidates:
        alone, member = folder.with_name(f"alone-{one.number}"), folder / "members"
        studies.train(one.experiment, alone)
        member /= f"trial-{one.number}"
        found, expected = (load_model(place, "cpu").members for place in (member, alone))
        for mine, theirs in zip(found, expected, strict=True):
            jax.tree.map(np.testing.assert_array_equal, mine.weights, theirs.weights)
        ours, its = metrics_document(member), metrics_document(alone)
        for part in ("metrics", "curve", "epochs", "temperature", "provenance"):
            assert ours.get(part) == its.get(part), part


def test_members_train_together_to_the_bits_that_each_has_alone(
    studies: Studies, tmp_path: Path
) -> None:
    first, *others = trials(tmp_path)
    shorter = an_experiment(tmp_path, "optimizer.learning_rate=0.01", "train.until=2")
    halved = [{"after": 2, "hparams": {"optimizer.learning_rate": 0.005}}]
    changed = an_experiment(tmp_path, train={"epochs": 9, "changes": halved})
    candidates = [first, *others, Winner(shorter, 4, ()), Winner(changed, 5, ())]
    ensemble(studies, candidates, tmp_path / "five", is_plain=True)
    assert studies.said[-1] == "together"
    assert_trained(studies, candidates, tmp_path / "five")


@pytest.mark.long
@pytest.mark.parametrize("override", ["train.seeds=2", "data.folds=3"])
def test_seeds_and_folds_of_members_are_lanes_too(
    studies: Studies, tmp_path: Path, override: str
) -> None:
    candidates = trials(tmp_path, override)[:2]
    ensemble(studies, candidates, tmp_path / "both", is_plain=True)
    assert studies.said[-1] == "together"
    assert_trained(studies, candidates, tmp_path / "both")


def test_members_with_a_rule_of_their_own_or_without_others_train_alone(
    studies: Studies, tmp_path: Path
) -> None:
    first, *_ = trials(tmp_path)
    ruled = an_experiment(tmp_path, "train.keep=best", "optimizer.learning_rate=0.01")
    candidates = [first, Winner(ruled, 4, ())]
    ensemble(studies, candidates, tmp_path / "both", is_plain=True)
    assert studies.said[-2:] == ["trains 7", "trains 4"]
    assert_trained(studies, candidates[1:], tmp_path / "both")


@pytest.mark.long
def test_a_stopped_ensemble_goes_on_where_its_members_were(
    studies: Studies, tmp_path: Path
) -> None:
    folder, candidates = tmp_path / "together", trials(tmp_path, "train.epochs=300")
    with pytest.raises(StoppedError, match=r"together was not written; the same command goes on"):
        ensemble(studies, candidates, folder, StopRequest())
    assert not folder.exists()
    seen: list[Progress] = []
    studies.said.clear()
    # Without one trial and with another: those that have begun go on.
    other = Winner(an_experiment(tmp_path, "train.epochs=300", "optimizer.weight_decay=0.1"), 9, ())
    now = [*candidates[:2], other]
    ensemble(studies, now, folder, is_plain=True, seen=seen)
    assert studies.said[-1] == "together"
    assert seen[0].epochs > 0
    assert (seen[-1].epochs, seen[-1].finished) == (900, 3)
    assert_trained(studies, now, folder)
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]


@pytest.mark.long
@pytest.mark.parametrize("matches", [("features", "logits"), ("logits", "features")])
def test_members_of_one_teacher_learn_what_each_learns_alone(
    studies: Studies, tmp_path: Path, matches: tuple[str, str]
) -> None:
    studies.train(an_experiment(tmp_path), tmp_path / "teacher")
    candidates = [
        Winner(
            an_experiment(tmp_path, compression={"teacher": {"from": "teacher", "match": match}}),
            number,
            (),
        )
        for number, match in enumerate(matches)
    ]
    ensemble(studies, candidates, tmp_path / "two", is_plain=True)
    assert_trained(studies, candidates, tmp_path / "two")
