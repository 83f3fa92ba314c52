"""What a spec may say about numbers that change between epochs."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from hpo.errors import SpecError
from hpo.spec.load import experiment_from_document
from hpo.spec.sections.techniques.schedules import NumberSchedule, turns

DOCUMENT = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd", "momentum": 0.9},
    "updates": {"accumulate": 4},
}


@pytest.mark.parametrize(
    ("schedules", "message"),
    [
        (
            {"model.dropot": {"name": "linear", "to": 0.1}},
            "train.schedules: unknown leaf 'model.dropot'. Did you mean 'model.dropout'?",
        ),
        (
            {"optimizer.clip_norm": {"name": "linear", "to": 1.0}},
            "train.schedules: optimizer.clip_norm is off here: give it the value of the first",
        ),
        (
            {"optimizer.weight_decay": {"name": "plateau"}},
            "train.schedules: optimizer.weight_decay is 0, which no factor changes: use linear, ",
        ),
        (
            {"updates.accumulate": {"name": "linear", "to": 1}},
            "train.schedules: updates.accumulate falls to 1, and batches under way would have no",
        ),
        (
            {"updates.accumulate": {"name": "one_cycle", "start": 0.25, "final": 0.5}},
            "train.schedules: updates.accumulate falls to 2, and batches under way would have no",
        ),
        (
            {"updates.accumulate": {"name": "constant", "warmup": 0.5}},
            "train.schedules: updates.accumulate: ",
        ),
        (
            {"optimizer.momentum": {"name": "linear", "to": 1.5}},
            "train.schedules: optimizer.momentum: ",
        ),
        (
            {"optimizer.momentum": {"name": "cosine_restarts", "factor": 1.1}},
            "train.schedules: optimizer.momentum: ",
        ),
        (
            {"optimizer.momentum": {"name": "step", "drops": 9999, "factor": 9.0}},
            "train.schedules: optimizer.momentum: ",
        ),
        (
            {"optimizer.momentum": {"name": "constant", "warmup_shape": "exponential"}},
            "never rises from warmup_start 0",
        ),
    ],
)
def test_a_schedule_that_cannot_be_followed_is_refused(schedules, message):
    document = {**DOCUMENT, "train": {"epochs": 9, "schedules": schedules}}
    with pytest.raises(SpecError) as refused:
        experiment_from_document(document, Path.cwd(), "spec.yaml")
    assert message in str(refused.value)


def test_a_number_that_varies_may_be_off_elsewhere():
    schedules = {
        path: {"name": "plateau"} for path in ("optimizer.weight_decay", "updates.max_norm")
    }
    space = {path: {"float": [0.1, 1.0]} for path in schedules}
    document = {**DOCUMENT, "train": {"epochs": 9, "schedules": schedules}, "space": space}
    assert len(experiment_from_document(document, Path.cwd(), "spec.yaml").space) == 2


def test_a_batch_that_grows_is_refused_beside_what_counts_updates():
    schedules = {"updates.accumulate": {"name": "step", "factor": 2.0}}
    train = {"epochs": 9, "schedules": schedules, "average": {"name": "ema"}}
    with pytest.raises(SpecError, match=r"ema counts updates of equal .*, and train\.schedules"):
        experiment_from_document({**DOCUMENT, "train": train}, Path.cwd(), "spec.yaml")


def test_schedules_are_read_by_the_paths_of_their_leaves():
    schedule = {"optimizer.momentum": {"name": "cosine", "to": 0.5}}
    document = {**DOCUMENT, "train": {"epochs": 9, "schedules": schedule}}
    train = experiment_from_document(document, Path.cwd(), "spec.yaml").training.train
    assert train.schedules["optimizer.momentum"].to == 0.5
    dumped = train.model_dump(mode="json", exclude_defaults=True)
    assert dumped["schedules"] == schedule


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ({"name": "polynomial", "to": 0.1, "warmup": 0.5, "warmup_start": 0.5}, [0.2, 0.4, 0.1]),
        ({"name": "constant", "warmup": 0.5}, [0.4]),
        ({"name": "exponential", "final": 2.0}, [0.4, 0.8]),
        ({"name": "step", "factor": 0.5}, [0.4, 0.1]),
        ({"name": "piecewise", "second": 0.25, "first_factor": 0.5}, [0.4, 0.04, 0.02]),
        ({"name": "cosine_restarts", "factor": 0.5, "final": 0.1}, [0.4, 0.04, 0.1, 0.01]),
        ({"name": "one_cycle", "start": 2.0, "final": 1.5}, [0.8, 0.4, 0.6]),
        ({"name": "coslog"}, [0, 0.4, 0]),
        ({"name": "plateau"}, [0.4, 0.04]),
    ],
    ids=str,
)
def test_a_schedule_knows_the_values_between_which_it_moves_a_number(schedule, values):
    spec = TypeAdapter(NumberSchedule).validate_python(schedule)
    assert list(turns(spec, 0.4)) == pytest.approx(values)
