"""Schedulers of a spec: the numbers that follow from how long trainings are."""

import pytest

from hpo.spec.sections.scheduler import (
    Asha,
    Hyperband,
    Median,
    NoScheduler,
    Patience,
    budget_mistakes,
    settled,
)


@pytest.mark.parametrize(
    ("spec", "epochs", "leaf", "number"),
    [
        (Median(name="median"), 80, "min_epochs", 10),
        (Median(name="median"), 4, "min_epochs", 1),
        (Median(name="median", min_epochs=3), 80, "min_epochs", 3),
        (Patience(name="patience"), 80, "epochs", 8),
        (Patience(name="patience"), 10, "epochs", 3),
        (Patience(name="patience"), 3, "epochs", 2),  # fewer than a training has
        (Patience(name="patience", epochs=5), 80, "epochs", 5),
    ],
)
def test_a_number_left_out_follows_from_the_epochs(spec, epochs, leaf, number):
    assert getattr(settled(spec, epochs), leaf) == number


def test_a_scheduler_without_such_numbers_stays_as_it_is():
    spec = Hyperband(name="hyperband")
    assert settled(spec, 81) is spec


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (Asha(name="asha", min_epochs=9), None),
        (Asha(name="asha", min_epochs=10), ("min_epochs",)),
        (Patience(name="patience", epochs=8), None),
        (Patience(name="patience", epochs=9), ("epochs",)),
        (NoScheduler(name="none"), None),
    ],
)
def test_a_budget_beyond_a_training_is_a_mistake(spec, path):
    found = [where for where, _ in budget_mistakes(spec, 9)]
    assert found == ([("search", "scheduler", *path)] if path else [])
