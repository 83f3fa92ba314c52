# ruff: noqa: E501 - a row of a table is one line
"""Hyperparameters as Optuna's parameters."""

import json

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.space import Choice, Dimension, Float, Int, SearchSpace
from hpo.study.storage.optuna_parameters import parameters
from hpo.trial import Trial


def known(distribution, *values, limits=None):
    """Optuna's parameter for a dimension, or for values alone, of trials with these values."""
    dimensions = [Dimension("x", distribution, limits=limits)] if distribution else []
    trials = [Trial(number, {"x": value}) for number, value in enumerate(values)]
    return parameters(SearchSpace(tuple(dimensions)), trials)["x"]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Float(1e-4, 1e-1, log=True), FloatDistribution(1e-4, 1e-1, log=True)),
        (Float(0.0, 0.5, step=0.2), FloatDistribution(0.0, 0.4, step=0.2)),  # 0.5 is no step
        (Int(16, 100, step=16), IntDistribution(16, 96, step=16)),  # nor is 100
        (Int(1, 9, log=True), IntDistribution(1, 9, log=True)),
        (Choice(("relu", None, True)), CategoricalDistribution(["relu", None, True])),
        (Choice(([64], {"b": 1})), CategoricalDistribution(["[64]", '{"b": 1}'])),
    ],
)
def test_a_dimension_is_the_same_distribution_to_optuna(ours, theirs):
    assert known(ours).distribution == theirs


@pytest.mark.parametrize(
    ("ours", "values", "theirs"),
    [
        (Choice(("tanh", "gelu")), ["relu", "gelu"], CategoricalDistribution(["tanh", "gelu", "relu"])),
        (Float(0.1, 0.5), [0.7, 0.0], FloatDistribution(0.0, 0.7)),
        (Float(0.1, 0.5, log=True), [0.0], FloatDistribution(0.0, 0.5)),  # no logarithm of 0
        (Int(32, 64, step=32), [48], IntDistribution(32, 64)),
        (Int(1, 4), [2.5], FloatDistribution(1.0, 4.0)),
        (None, [3, 9], IntDistribution(3, 9)),
        (None, [0.25, 1], FloatDistribution(0.25, 1.0)),
        (None, ["a", 3], CategoricalDistribution(["a", 3])),
    ],
)  # fmt: skip
def test_values_of_an_earlier_space_widen_the_distribution(ours, values, theirs):
    assert known(ours, *values).distribution == theirs


def test_a_range_that_may_move_has_its_limits():
    assert known(Float(0.1, 0.3), limits=(0.0, 0.8)).distribution == FloatDistribution(0.0, 0.8)


def test_a_category_is_stored_by_its_place_in_the_list():
    parameter = known(Choice((True, 1, [64], None)))
    assert [parameter.stored(value) for value in (True, 1, [64], None)] == [0, 1, 2, 3]
    assert [parameter.plain(value) for value in (True, [64])] == [True, "[64]"]
    assert parameter.holds([64])
    assert not parameter.holds([65])
    assert json.loads(parameter.json)["attributes"]["choices"] == [True, 1, "[64]", None]


def test_a_number_is_stored_as_it_is():
    parameter = known(Int(1, 9))
    assert (parameter.stored(4), parameter.plain(4)) == (4.0, 4)
    assert not parameter.holds(True)
    assert not parameter.holds("4")


def test_a_derived_value_is_no_parameter():
    class Half:
        path, text, deciding = "half", "x / 2", frozenset({"x"})

        def value(self, hparams):
            return hparams["x"] / 2

    space = SearchSpace((Dimension("x", Float(0.0, 1.0)),), derived=(Half(),))
    assert parameters(space, [Trial(0, {"x": 0.5, "half": 0.25})]).keys() == {"x"}
