"""Rungs: budgets, sizes, brackets in turn."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import HpoError
from hpo.search.scheduler import Bracket
from hpo.search.schedulers.make import make_scheduler, outline
from hpo.search.schedulers.rungs import rung_budgets, rung_sizes
from hpo.spec.sections.scheduler import (
    Asha,
    Hyperband,
    Median,
    SuccessiveHalving,
)
from tests.search.schedulers.studies import HALVING, HYPERBAND


@pytest.mark.parametrize(
    ("low", "high", "eta", "budgets"),
    [
        (1, 27, 3, (1, 3, 9, 27)),
        (1, 81, 3, (1, 3, 9, 27, 81)),
        (1, 243, 3, (1, 3, 9, 27, 81, 243)),  # log(243) / log(3) is 4.999... in floating point
        (1, 16, 2, (1, 2, 4, 8, 16)),
        (1, 10, 3, (1, 3, 10)),
        (2, 27, 3, (3, 9, 27)),
        (4, 9, 3, (9,)),
        (5, 5, 3, (5,)),  # one rung: no trial is stopped early
        (1, 1, 3, (1,)),
    ],
)
def test_rungs_end_at_the_full_budget(low, high, eta, budgets):
    assert rung_budgets(low, high, eta) == budgets


@pytest.mark.parametrize(("low", "high", "eta"), [(0, 9, 3), (10, 9, 3), (1, 9, 1)])
def test_impossible_rungs_are_refused(low, high, eta):
    with pytest.raises(ValueError):
        rung_budgets(low, high, eta)


@given(st.integers(1, 50), st.integers(1, 2000), st.integers(2, 7))
def test_each_rung_has_at_least_eta_times_the_budget_of_the_one_before(low, extra, eta):
    budgets = rung_budgets(low, low + extra, eta)
    assert low <= budgets[0] < low * eta or len(budgets) == 1
    assert all(small * eta <= large for small, large in pairwise(budgets))


@pytest.mark.parametrize(
    ("trials", "rungs", "eta", "sizes"),
    [
        (27, 4, 3, (27, 9, 3, 1)),
        (34, 4, 3, (34, 11, 3, 1)),
        (20, 4, 3, (20, 6, 2, 1)),
        (2, 4, 3, (2, 1, 1, 1)),  # a bracket cut short still sends one to the end
        (1, 3, 3, (1, 1, 1)),
    ],
)
def test_one_in_eta_goes_on_and_at_least_one(trials, rungs, eta, sizes):
    assert rung_sizes(trials, rungs, eta) == sizes


def test_successive_halving_repeats_the_bracket_that_ends_with_one_trial():
    assert make_scheduler(HALVING, 9, 20).brackets == (
        Bracket(0, (9, 3, 1), (1, 3, 9)),
        Bracket(9, (9, 3, 1), (1, 3, 9)),
        Bracket(18, (2, 1, 1), (1, 3, 9)),
    )


@given(st.integers(1, 100), st.integers(1, 500), st.sampled_from([HYPERBAND, HALVING]))
def test_brackets_share_out_all_trials_in_order(epochs, trials, spec):
    found = make_scheduler(spec, epochs, trials).brackets
    assert [number for b in found for number in b.trials] == list(range(trials))
    assert all(b.budgets[-1] == epochs and b.sizes[-1] >= 1 for b in found)


@pytest.mark.parametrize("spec", [HYPERBAND, HALVING])
def test_with_a_single_rung_all_trials_share_a_bracket(spec):
    assert make_scheduler(spec, 2, 1_000_000).brackets == (Bracket(0, (1_000_000,), (2,)),)


@pytest.mark.parametrize("spec_class", [Median, SuccessiveHalving, Asha, Hyperband])
def test_a_first_budget_above_the_full_one_is_refused_with_both_numbers(spec_class):
    name = {Median: "median", Asha: "asha", Hyperband: "hyperband"}
    spec = spec_class(name=name.get(spec_class, "successive_halving"), min_epochs=10)
    with pytest.raises(HpoError, match=r"min_epochs \(10\) is more than train.epochs \(9\)"):
        outline(spec, 9, 5)
