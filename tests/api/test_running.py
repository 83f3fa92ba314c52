"""Studies and trainings in this process."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.api.running import run_search, run_training, trained_from
from hpo.errors import HpoError, SpecError
from hpo.spec.load import load_document
from hpo.study.signals import StoppedError, StopRequest
from hpo.study.storage.tables import Storage


class Display:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.said: list[str] = []

    def watch(self, progress: Any) -> None:
        self.seen.append(progress)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def test_a_listener_is_told_the_log_as_it_is_stored(flowers, tmp_path):
    told = []
    url, display = f"sqlite:///{tmp_path / 'hpo.db'}", Display()
    experiment = load_document(flowers, tmp_path, ["search.trials=1"])
    outcome = run_search(
        experiment,
        display,
        StopRequest(),
        storage=url,
        device="cpu",
        listen=lambda events, _: told.extend(events),
    )
    assert (outcome.reason, outcome.progress.epochs) == ("finished", 2)
    assert display.seen[0].study == "flowers"
    with Storage.read(url) as storage:
        assert told == storage.events(storage.study("flowers").id)


def test_a_training_that_is_stopped_leaves_no_folder(flowers, tmp_path):
    del flowers["space"], flowers["search"]
    stop = StopRequest()
    stop.signal = 2
    stop.set()
    with pytest.raises(StoppedError) as stopped:
        run_training(
            load_document(flowers, tmp_path), tmp_path / "model", Display(), stop, device="cpu"
        )
    assert stopped.value.signal == 2
    assert not (tmp_path / "model").exists()


def test_a_spec_without_a_search_is_not_searched_and_one_that_varies_not_trained(flowers, tmp_path):
    varied = load_document(flowers, tmp_path)
    with pytest.raises(HpoError, match=r"optimizer\.learning_rate may vary"):
        run_training(varied, tmp_path / "model", Display(), StopRequest())
    del flowers["search"]
    with pytest.raises(SpecError, match="has no search section"):
        run_search(load_document(flowers, tmp_path), Display(), StopRequest())


@pytest.mark.parametrize("leaf", ["model.from", "compression.teacher.from"])
def test_an_unsent_model_is_known_by_the_weights_that_it_starts_or_learns_from(
    flowers, tmp_path, leaf
):
    del flowers["space"], flowers["search"]
    weights = tmp_path / "base" / "weights" / "array"
    weights.parent.mkdir(parents=True)
    for name in ("metrics.json", "spec.yaml"):
        (tmp_path / "base" / name).write_text("{}")
    experiment = load_document(flowers, tmp_path, [f"{leaf}=base"])
    found = []
    for content in (b"1", b"1", b"2"):
        weights.write_bytes(content)
        found.append(trained_from(experiment, is_refit=False))
    assert found[0] == found[1] != found[2]
