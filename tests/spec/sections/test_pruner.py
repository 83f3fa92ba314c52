"""Pruners of Optuna, as a spec writes them."""

import inspect

import pytest

from hpo.spec.sections import pruner as pruners
from tests.search.schedulers.studies import (
    PRUNERS,
)


def test_the_bounds_of_a_maximised_metric_change_sides():
    spec = pruners.ThresholdPruner(name="threshold", lower=0.5, upper=0.9)
    turned = pruners.for_losses(
        pruners.PatientPruner(name="patient", patience=0, wrapped_pruner=spec)
    )
    assert (turned.wrapped_pruner.lower, turned.wrapped_pruner.upper) == (-0.9, -0.5)


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_has_the_arguments_and_defaults_of_optunas(name):
    import optuna

    spec = type(PRUNERS[name])
    theirs = inspect.signature(getattr(optuna.pruners, spec.__name__)).parameters
    ours = {field: info for field, info in spec.model_fields.items() if field != "name"}
    assert ours.keys() == theirs.keys()
    for field, info in ours.items():
        default = theirs[field].default
        if default is not inspect.Parameter.empty:
            assert info.default == default
