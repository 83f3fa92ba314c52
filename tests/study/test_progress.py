"""How a running study stands."""

from pathlib import Path

import pytest

from hpo.spec.load import experiment_from_document
from hpo.study import progress
from hpo.study.log.events import StudyState
from hpo.study.progress import Watcher
from tests.documents import SMALL


class AtWork:
    """A driver that has trained `epochs_trained` epochs."""

    def __init__(self):
        self.epochs_trained = 0.0
        self.is_stopping = False

    def in_training(self):
        return set()


@pytest.mark.parametrize(
    ("trained", "speed"),
    [
        (3.0, 1.5),
        (0.5, 0.25),  # a part of a long epoch is a pace, too
        (1 / 3 + 1 / 3 + 1 / 3 - 1 + 1e-16, 0.0),  # an epoch that diverged in its third round
        (-0.5, 0.0),  # an epoch that was resumed halfway and diverged
    ],
)
def test_the_speed_counts_no_epoch_that_diverged(monkeypatch, trained, speed):
    now, driver = [100.0], AtWork()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    experiment = experiment_from_document(SMALL, Path())
    state = StudyState(experiment.search.goal)
    watcher = Watcher(experiment, state, driver, lambda: 1, lambda _: None)
    driver.epochs_trained = 1.0
    assert watcher.progress().epochs_a_second == 0  # since just now
    driver.epochs_trained, now[0] = trained, 102.0
    assert watcher.progress().epochs_a_second == pytest.approx(speed)
