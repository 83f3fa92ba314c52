"""What does not go together, in sentences made of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.errors import SpecError
from hpo.spec.experiment import Training
from hpo.spec.load import load_document
from hpo.spec.techniques.clashes import clashes, lacking, may_clash, unfit
from tests.engine.samples import a_training
from tests.techniques import document

AVERAGES = ["none", "ema", "swa"]


def _training(*names: str) -> Training:
    return Training.model_validate(document(names))


def test_a_pair_is_said_once_at_the_technique_that_excludes_the_other() -> None:
    assert [*clashes(_training("l1", "dog"))] == [
        (
            ("updates", "l1"),
            "needs the learning rate of a step, and dog finds its own learning rate: use another "
            "optimizer, or remove updates.l1",
        )
    ]
    assert [*clashes(_training("privacy", "same_class"))] == [
        (
            ("privacy", "noise"),
            "takes the gradient of each row apart, and augment.same_class mixes the rows of a "
            "batch: remove one of them",
        )
    ]
    assert [*clashes(_training("l1", "sam", "ema"))] == []


def test_circumstances_exclude_too_those_of_the_training_and_those_around_it() -> None:
    folds = a_training(sampling={"name": "curriculum"}, data__folds=3)
    assert [*clashes(folds)] == [
        (
            ("sampling", "name"),
            "curriculum keeps the losses of one training split, and data.folds has several "
            "training splits: remove one of them",
        )
    ]
    share = a_training(sampling={"share": 0.5})
    assert [*clashes(share)] == []
    assert [*clashes(share, ["streaming"])] == [
        (
            ("sampling", "share"),
            "draws the rows of a trial in an order of its own, and data.device_budget streams rows "
            "in one order for all trials: raise data.device_budget, or remove sampling.share",
        )
    ]


def test_a_noise_that_changes_is_not_private() -> None:
    schedules = {"privacy.noise": {"name": "linear", "to": 2.0}}
    training = a_training(
        privacy={"clip": 1.0, "noise": 1.0}, train={"epochs": 4, "schedules": schedules}
    )
    ((_, text),) = clashes(training)
    assert text == (
        "counts one noise, and train.schedules changes privacy.noise: remove one of them"
    )


@pytest.mark.parametrize("name", ["magnitude", "n_of_m"])
@pytest.mark.parametrize("ends", [{"keep": "best"}, {"early_stop": {"patience": 2}}], ids=str)
def test_weights_that_are_cut_step_by_step_are_judged_in_the_end(
    name: str, ends: dict[str, object]
) -> None:
    sparsity = {"sparsity": {"name": name}}
    training = a_training(compression=sparsity, train={"epochs": 4, **ends})
    ((path, text),) = clashes(training)
    assert path == ("train", *ends)
    assert text.endswith(
        "may end with an epoch that has fewer zeros, and compression.sparsity.name cuts weights "
        "step by step: remove one of them"
    )
    still = a_training(compression={"sparsity": {"name": "fixed"}}, train={"epochs": 4, **ends})
    assert [*clashes(still)] == []


def test_what_layers_read_and_answer_is_the_same_throughout() -> None:
    schedules = {"compression.activations.top": {"name": "linear", "to": 0.5}}
    training = a_training(
        compression={"activations": {"top": 0.9}}, train={"epochs": 4, "schedules": schedules}
    )
    ((path, text),) = clashes(training)
    assert path == ("compression", "activations", "top")
    assert text == (
        "keeps the same share of units throughout, and train.schedules changes bits, or a share of "
        "units: remove one of them"
    )


def test_a_technique_for_other_data_is_refused_with_what_the_data_are() -> None:
    assert [*unfit(_training("balanced"), {"classes": "the task is regression"})] == [
        (
            ("sampling", "name"),
            "balanced needs one class for each row, and the task is regression: remove it",
        )
    ]
    assert [*unfit(_training("balanced"), {"images": "iris is a table"})] == []


def test_a_data_section_tells_of_tables_and_tasks() -> None:
    synonyms = {name: f"data.text.{name} names none" for name in ("synonyms", "homophones")}
    assert lacking(_training("balanced").data) == {**synonyms, "images": "iris is a table"}
    assert lacking(_training("flip").data) == synonyms
    assert lacking(_training("synonyms").data) == {"images": "csv is a table"}
    numbers = a_training(data={"dataset": "diabetes", "batch_size": 16}).data
    assert lacking(numbers) == {
        **synonyms,
        "classes": "the task is regression",
        "labels": "the task is regression",
        "images": "diabetes is a table",
    }


@pytest.mark.parametrize(
    ("names", "space", "says"),
    [
        (
            [],
            {"updates.l1": {"float": [0.0, 0.1]}, "optimizer.name": {"choice": ["sgd", "dog"]}},
            "needs the learning rate of a step, and dog",
        ),
        (
            ["privacy"],  # the value in the middle of a choice
            {"train.precision": {"choice": ["float32", "float16", "bfloat16"]}},
            "counts every step, and float16",
        ),
        (
            ["privacy"],
            {"model.norm": {"choice": ["none", "batch", "layer"]}},
            "and model.norm batch keeps statistics",
        ),
        (
            [],  # a pair that neither the first values are nor the last ones
            {
                "updates.l1": {"choice": [0.1, 0.0]},
                "optimizer.name": {"choice": ["sgd", "dog", "adam"]},
            },
            "needs the learning rate of a step, and dog",
        ),
        (
            ["accumulate"],
            {
                "updates.lookahead": {"choice": [None, 5]},
                "train.average.name": {"choice": AVERAGES},
            },
            "",
        ),
    ],
)
def test_a_space_is_refused_if_some_trial_of_it_would_be(
    names: list[str], space: dict[str, Any], says: str
) -> None:
    search = {"objective": {"maximize": "accuracy"}, "trials": 4}
    written = {"name": "space", **document(names), "space": space, "search": search}
    if not says:
        assert len(load_document(written, Path()).space) == len(space)
        return
    with pytest.raises(SpecError, match=says):
        load_document(written, Path())


def test_places_that_may_clash_are_those_of_a_technique_and_of_what_it_excludes() -> None:
    assert may_clash("updates.l1", "optimizer.name")
    assert may_clash("optimizer.name", "updates.l1")
    assert may_clash("privacy.noise", "model.norm")
    assert may_clash("privacy.noise", "sampling.name")
    assert not may_clash("updates.l1", "model.norm")
    assert not may_clash("privacy.noise", "model.widths")
    assert not may_clash("augment.flip", "augment.shift")
