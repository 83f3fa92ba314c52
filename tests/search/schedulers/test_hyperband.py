"""The brackets of Hyperband and BOHB."""

import pytest

from hpo.search.scheduler import Bracket
from hpo.search.schedulers.make import make_scheduler
from hpo.spec.sections.scheduler import (
    Bohb,
)
from tests.search.schedulers.studies import HYPERBAND

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
