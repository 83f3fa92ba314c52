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
    Bohb,
    Hyperband,
    Median,
    NoScheduler,
    SuccessiveHalving,
)

HYPERBAND = Hyperband(name="hyperband")
HALVING = SuccessiveHalving(name="successive_halving")


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
        (5, 5, 3, (5,)),  # one rung: nobody is stopped early
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


# Worked out by hand from Algorithm 1 of Li et al. 2018: n = ceil((s_max + 1) / (s + 1) * eta^s).
# The paper's Table 1 (R = 81) prints 27, 9 and 6 trials for s = 3, 2, 1 where that gives 34, 15, 8.
HYPERBAND_TABLE = {
    27: [
        ((27, 9, 3, 1), (1, 3, 9, 27)),
        ((12, 4, 1), (3, 9, 27)),
        ((6, 2), (9, 27)),
        ((4,), (27,)),
    ],
    81: [
        ((81, 27, 9, 3, 1), (1, 3, 9, 27, 81)),
        ((34, 11, 3, 1), (3, 9, 27, 81)),
        ((15, 5, 1), (9, 27, 81)),
        ((8, 2), (27, 81)),
        ((5,), (81,)),
    ],
    243: [
        ((243, 81, 27, 9, 3, 1), (1, 3, 9, 27, 81, 243)),
        ((98, 32, 10, 3, 1), (3, 9, 27, 81, 243)),
        ((41, 13, 4, 1), (9, 27, 81, 243)),
        ((18, 6, 2), (27, 81, 243)),
        ((9, 3), (81, 243)),
        ((6,), (243,)),
    ],
}


@pytest.mark.parametrize("epochs", HYPERBAND_TABLE)
def test_hyperband_has_the_brackets_of_algorithm_1(epochs):
    table = HYPERBAND_TABLE[epochs]
    one_round = sum(sizes[0] for sizes, _ in table)
    found = make_scheduler(HYPERBAND, epochs, 2 * one_round).brackets
    assert [(b.sizes, b.budgets) for b in found] == [*table, *table]


@pytest.mark.parametrize("epochs", HYPERBAND_TABLE)
def test_hyperband_shares_its_trials_out_as_optunas_pruner_does(epochs):
    from optuna.pruners import HyperbandPruner

    theirs = HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    theirs._n_brackets = len(HYPERBAND_TABLE[epochs])  # its own logarithm loses a bracket at 243
    shares = [theirs._calculate_trial_allocation_budget(s) for s in range(theirs._n_brackets)]
    assert [sizes[0] for sizes, _ in HYPERBAND_TABLE[epochs]] == shares


def test_bohb_has_the_brackets_of_hyperband():
    assert (
        make_scheduler(Bohb(name="bohb"), 27, 100).brackets
        == make_scheduler(HYPERBAND, 27, 100).brackets
    )


def test_hyperband_cuts_its_last_bracket_short():
    assert make_scheduler(HYPERBAND, 27, 35).brackets == (
        Bracket(0, (27, 9, 3, 1), (1, 3, 9, 27)),
        Bracket(27, (8, 2, 1), (3, 9, 27)),
    )


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


@given(st.integers(1, 30), st.integers(1, 300), st.sampled_from([HYPERBAND, HALVING]))
def test_the_plan_has_the_epochs_of_all_its_brackets(epochs, trials, spec):
    found = outline(spec, epochs, trials)
    assert found.epochs == sum(bracket.epochs for bracket in found.brackets)


def test_the_plan_counts_the_epochs_of_trials_that_go_on_once():
    # By hand: 27*1 + 9*2 + 3*6 + 1*18, 12*3 + 4*6 + 18, 6*9 + 2*18, 4*27.
    expected = [81, 78, 90, 108]
    found = outline(HYPERBAND, 27, 49)
    assert [b.epochs for b in found.brackets] == expected
    assert (found.epochs, found.is_upper_bound) == (357, False)


def test_the_plan_says_where_its_epochs_are_an_upper_bound():
    assert outline(NoScheduler(name="none"), 5, 7).epochs == 35
    assert not outline(NoScheduler(name="none"), 5, 7).is_upper_bound
    assert outline(Asha(name="asha"), 5, 7).is_upper_bound
    assert outline(Median(name="median"), 5, 7).is_upper_bound


@pytest.mark.parametrize("spec_class", [Median, SuccessiveHalving, Asha, Hyperband])
def test_a_first_budget_above_the_full_one_is_refused_with_both_numbers(spec_class):
    name = {Median: "median", Asha: "asha", Hyperband: "hyperband"}
    spec = spec_class(name=name.get(spec_class, "successive_halving"), min_epochs=10)
    with pytest.raises(HpoError, match=r"min_epochs \(10\) is more than train.epochs \(9\)"):
        outline(spec, 9, 5)
