"""The section `updates`: rates of layers, whose names a document chooses."""

from pathlib import Path

import pytest

from hpo.errors import SpecError
from hpo.report.export import training_document
from hpo.spec.fill import fill
from hpo.spec.load import load_document
from hpo.spec.marks import Mark, mark_of
from hpo.spec.merging import NOTHING
from hpo.study.log.lineage import Segment
from tests.documents import SMALL


def loaded(rates, **space):
    document = {**SMALL, "updates": {"rates": rates}, "space": {**SMALL["space"], **space}}
    return load_document(document, Path())


def test_rates_have_a_number_for_each_pattern_that_the_spec_or_its_space_names():
    varied = {"updates.rates.linears/0": {"float": [0.1, 1.0]}}
    rates = loaded({"head": 10}, **varied).training.updates.rates
    assert {name: getattr(rates, name) for name in type(rates).model_fields} == {
        "head": 10.0,
        "linears/0": 1.0,
    }
    assert mark_of(type(rates), "head") is Mark.KNOB
    assert type(loaded({"head": 2.0}).training) is type(loaded({"head": 3.0}).training)
    plain = load_document(SMALL, Path()).training
    assert plain.updates.freeze == ()
    assert type(plain.updates.rates).model_fields == {}


def test_an_exported_trial_has_its_rates_and_its_frozen_layers():
    varied = {
        "updates.rates.head": {"float": [0.5, 10.0], "log": True},
        "updates.freeze": {"choice": [[], ["linears/1"]]},
    }
    experiment = loaded({"*/bias": 0.5}, **varied)
    hparams = {"model.dropout": 0.1, "updates.rates.head": 2.0, "updates.freeze": ["linears/1"]}
    document = training_document(experiment, (Segment(4, 0, hparams),), NOTHING, Path())
    assert document["updates"]["rates"] == {"*/bias": 0.5, "head": 2.0}
    assert document["updates"]["freeze"] == ["linears/1"]
    again = load_document(document, Path()).training.updates
    assert again.model_dump() == fill(experiment.training, hparams, 4).updates.model_dump()


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"head": -1.0}, "updates.rates.head: cannot be -1.0: write a number of at least 0"),
        (
            {"block.0": 1.0},
            "updates.rates.block.0: is no pattern of layers: write one such as head or linears/0",
        ),
        (3, "updates.rates: cannot be 3: write a mapping such as {}"),
    ],
)
def test_rates_that_are_none_are_one_sentence(rates, message):
    with pytest.raises(SpecError) as refused:
        loaded(rates)
    assert refused.value.mistakes == [message]
