"""The techniques that a training uses, and its needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.spec.experiment import Training
from hpo.spec.load import load_document
from hpo.spec.techniques.used import circumstances, holders, needs_of_all, used
from hpo.techniques import TECHNIQUES
from tests.engine.samples import a_training
from tests.techniques import document


def _training(*names: str) -> Training:
    return load_document({"name": "one", **document(names)}, Path()).training


def test_a_plain_training_uses_none_and_has_the_needs_of_its_model() -> None:
    assert used(a_training()) == {}
    assert needs_of_all(a_training()) == set()
    norm = a_training(model={"name": "mlp", "norm": "batch"})
    assert needs_of_all(norm) == {"whole batch", "same depth", "statistics"}


@pytest.mark.parametrize("name", TECHNIQUES)
def test_what_is_written_is_used_and_brings_its_needs(name: str) -> None:
    training = _training(name)
    assert name in used(training)
    assert needs_of_all(training) >= {*TECHNIQUES[name].needs}


def test_a_number_of_the_host_is_off_in_a_template_and_own_code_has_no_numbers() -> None:
    blank = a_training().model_copy(update={"sampling": _sampling(share=None)})
    assert used(blank) == {}
    own = a_training(augment={"python": "augment.py:jitter"})
    assert used(own) == {}
    assert needs_of_all(own) == {"whole batch", "mixed rows", "changed rows"}


def _sampling(**leaves: Any) -> Any:
    return a_training().sampling.model_copy(update=leaves)


def test_a_need_is_held_by_techniques_the_optimizer_and_values_of_the_model() -> None:
    (holder,) = holders(_training("swap_noise"), "mixed rows")
    assert (holder.place, holder.does) == ("augment.swap_noise", "mixes the rows of a batch")
    (holder,) = holders(_training("dog"), "own rate")
    assert (holder.place, holder.title) == ("optimizer.name", "dog")
    (holder,) = holders(a_training(model={"name": "mlp", "norm": "batch"}), "statistics")
    assert (holder.place, holder.cure) == ("model.norm", "write another model.norm")
    (holder,) = holders(a_training(model={"name": "tabm"}), "other products")
    assert (holder.place, holder.title) == ("model.name", "tabm")
    (holder,) = holders(a_training(augment={"python": "augment.py:jitter"}), "mixed rows")
    assert holder.place == "augment"


def test_circumstances_are_those_that_are_written() -> None:
    assert circumstances(a_training()) == set()
    assert circumstances(a_training(data__folds=3)) == {"folds"}
    clipped = a_training(optimizer={"name": "sgd", "clip_norm": 1.0})
    assert circumstances(clipped) == {"clipping optimizer"}
    pruned = a_training(compression={"sparsity": {"name": "magnitude"}})
    assert circumstances(pruned) == {"growing sparsity"}
