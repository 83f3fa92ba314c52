"""Numbers that change in training: what a spec may say, and what a population needs."""

from pathlib import Path

import pytest

from hpo.errors import SpecError
from hpo.spec.changes import changing, stages
from hpo.spec.experiment import Training
from hpo.spec.load import experiment_from_document

SPEC = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd"},
    "train": {"epochs": 9},
}
POPULATION = {
    "space": {"optimizer.learning_rate": {"float": [0.01, 0.1]}},
    "search": {
        "objective": {"maximize": "accuracy"},
        "trials": 10,
        "sampler": {"name": "random"},
        "scheduler": {"name": "pbt"},
    },
}


def mistakes(document, *overrides):
    with pytest.raises(SpecError) as error:
        experiment_from_document(document, Path(), "", overrides)
    return error.value.mistakes


def with_changes(*changes):
    listed = [{"after": after, "hparams": hparams} for after, hparams in changes]
    return {**SPEC, "train": {"epochs": 9, "changes": listed}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            [(9, {"model.dropout": 0.1})],
            "after: 9 is too early or too late: write a number above 0 and below train.epochs (9)",
        ),
        (
            [(3, {"model.dropout": 0.1}), (3, {"model.dropout": 0.2})],
            "after: 3 is too early or too late: write a number above 3 and below train.epochs (9)",
        ),
        (
            [(3, {"model.dropuot": 0.1})],
            "unknown leaf 'model.dropuot'. Did you mean 'model.dropout'?",
        ),
        ([(3, {"model.widths": 3})], "after 3 epochs: unknown leaf 'model.widths'"),
        (
            [(3, {"model.dropout": 1.5})],
            "after 3 epochs: model.dropout: cannot be 1.5: write a number from 0 to below 1",
        ),
        ([(3, {})], "train.changes[0].hparams: cannot be {}"),
    ],
)
def test_changes_that_cannot_be_trained_are_refused(changes, said):
    (line,) = mistakes(with_changes(*changes))
    assert line.startswith("train.changes")
    assert said in line


def test_a_search_has_no_changes_of_its_own():
    (line,) = mistakes({**with_changes((3, {"model.dropout": 0.1})), **POPULATION})
    assert line == "train.changes: is for hpo train: remove it, or remove search"


def test_a_population_is_a_valid_search():
    assert (
        experiment_from_document({**SPEC, **POPULATION}, Path()).search.scheduler.population == 20
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["search.scheduler.interval=9"],
            "9 is not below train.epochs (9), so no trials would "
            "be compared: lower it or train longer",
        ),
        (
            ["search.sampler.name=tpe"],
            "search.sampler: tpe learns from fixed hparams, and pbt changes them: "
            "write sampler: {name: random}",
        ),
        (
            ["train.seeds=3"],
            "cannot be 3: pbt copies a trial as one lane, and each seed is a lane. Leave it at 1",
        ),
        (
            [],
            "search.scheduler: pbt changes numbers while trials train, and none varies here: "
            "add one to the space, such as optimizer.learning_rate",
        ),
        (["search.scheduler.population=1"], "cannot be 1: write a whole number of at least 2"),
        (
            ["search.scheduler.quantile=0.6"],
            "cannot be 0.6: write a number above 0 and at most 0.5",
        ),
    ],
)
def test_what_has_no_meaning_in_a_population_is_refused(overrides, said):
    document = {**SPEC, **POPULATION}
    if not overrides:
        document["space"] = {"model.widths": {"choice": [[8], [16]]}}
    (line,) = mistakes(document, *overrides)
    assert said in line


def test_knobs_change_after_the_epochs_in_the_spec():
    changes = [
        {"after": 1, "hparams": {"optimizer.learning_rate": 0.1}},
        {"after": 3, "hparams": {"model.dropout": 0.0, "optimizer.learning_rate": 0.2}},
    ]
    parts = {
        "data": {"dataset": "iris"},
        "model": {"name": "mlp", "dropout": 0.2},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "train": {"epochs": 4, "changes": changes},
    }
    training = Training.model_validate(parts)
    assert changing(training) == {"model.dropout", "optimizer.learning_rate"}
    found = [(n, t.optimizer.learning_rate, t.model.dropout) for n, t in stages(training)]
    assert found == [(1, 0.1, 0.2), (3, 0.2, 0.0)]
