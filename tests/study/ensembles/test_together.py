"""Members of an ensemble that train as the trials of a study of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.errors import HpoError
from hpo.study.ensembles.members import Sources
from hpo.study.ensembles.together import Member, can_train_together, is_begun, train_together
from hpo.study.progress import Progress
from hpo.study.signals import StopRequest
from hpo.study.storage.lease import acquire
from hpo.study.storage.tables import Storage
from hpo.study.train import made_ready
from tests.study.whole import Studies
from tests.trained.tables import an_experiment, write_table


@pytest.fixture
def studies(tmp_path: Path, compile_cache: Path) -> Studies:
    write_table(tmp_path / "table.csv")
    return Studies(tmp_path, compile_cache)


def members(studies: Studies, folder: Path, *overrides: str) -> list[Member]:
    """A member for each override, by its place."""
    sources = Sources(studies.around)
    return [
        Member(
            number,
            made_ready(one, studies.around, studies.said.append, sources.of(one)),
        )
        for number, override in enumerate(overrides)
        for one in (an_experiment(folder, override),)
    ]


def test_members_of_as_many_runs_and_without_a_rule_train_together(
    studies: Studies, tmp_path: Path
) -> None:
    found = members(
        studies,
        tmp_path,
        "train.early_stop={patience: 2}",
        "train.epochs=2",
        "train.seeds=2",
        "data.normalize=minmax",
        "train.keep=best",
    )
    assert [one.number for one in can_train_together(found)] == [1, 3]
    assert can_train_together(found[:1]) == []


def test_members_that_are_trained_are_not_trained_again(studies: Studies, tmp_path: Path) -> None:
    both = members(studies, tmp_path, "train.epochs=2", "optimizer.learning_rate=1e30")
    folder, seen = tmp_path / "partial", list[Progress]()

    def train(some: list[Member]) -> dict[int, int]:
        """The epochs of the members that have an end, whose weights are there."""
        seen.clear()
        say, stop = studies.said.append, StopRequest()
        ends = train_together(some, folder, studies.around, seen.append, say, stop)
        assert all(end.kept.read() for end in ends.values())
        return {number: len(end.kept.metrics) for number, end in ends.items()}

    assert not is_begun(folder)
    assert train(both) == {0: 2}  # the other one diverged
    assert is_begun(folder)
    assert train(both) == {0: 2}
    assert seen[0].epochs == seen[-1].epochs
    # A trial of another spec is another one, even under the same number.
    other = members(studies, tmp_path, "optimizer.weight_decay=0.5", "train.epochs=2")
    assert train(other) == {0: 3, 1: 2}
    assert (seen[0].epochs, seen[-1].epochs) == (0, 5)


def test_members_that_another_process_trains_are_refused(studies: Studies, tmp_path: Path) -> None:
    both = members(studies, tmp_path, "train.epochs=1", "train.epochs=2")
    folder, say = tmp_path / "partial", studies.said.append
    train_together(both[:1], folder, studies.around, lambda _: None, say, StopRequest())
    with (
        Storage.create(f"sqlite:///{folder / 'members.db'}") as storage,
        acquire(storage, storage.study("members").id),
        pytest.raises(HpoError, match="study 'members' is being driven by process"),
    ):
        train_together(both, folder, studies.around, lambda _: None, say, StopRequest())
