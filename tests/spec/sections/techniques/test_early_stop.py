"""What a spec may say about when a training stops and which epoch judges it."""

from pathlib import Path

import pytest

from hpo.errors import SpecError
from hpo.spec.load import experiment_from_document

DOCUMENT = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd"},
    "search": {"objective": {"maximize": "accuracy"}, "trials": 10},
    "space": {"optimizer.learning_rate": {"float": [0.1, 1.0]}},
}
PBT = {
    "objective": {"maximize": "accuracy"},
    "trials": 10,
    "sampler": {"name": "random"},
    "scheduler": {"name": "pbt"},
}


@pytest.mark.parametrize(
    ("train", "others", "message"),
    [
        (
            {"early_stop": {"min_delta": 0.1}},
            {},
            "train.early_stop: needs patience or target: write {patience: 10}",
        ),
        (
            {"early_stop": {"patience": 20}},
            {},
            "train.early_stop.patience: 20 is not less than train.epochs (20), so it stops no "
            "trial: lower it or train longer",
        ),
        (
            {"until": 3},
            {},
            "train.until: is for hpo train: remove it, or remove search",
        ),
        (
            {"until": 21},
            {"search": None, "space": {}},
            "train.until: 21 is above train.epochs (20): lower it",
        ),
        (
            {"keep": "best"},
            {"search": PBT},
            "train.keep: best may leave the last weights of a trial, and this scheduler copies "
            "weights between trials and changes their numbers: use another scheduler, or remove "
            "train.keep",
        ),
    ],
)
def test_rules_that_stop_nothing_or_do_not_go_together_are_refused(train, others, message):
    document = {**DOCUMENT, "train": {"epochs": 20, **train}, **others}
    document = {key: value for key, value in document.items() if value is not None}
    with pytest.raises(SpecError) as refused:
        experiment_from_document(document, Path.cwd(), "spec.yaml")
    assert message in str(refused.value)
