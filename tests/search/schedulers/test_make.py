"""What a study with each scheduler will train."""

from hypothesis import given
from hypothesis import strategies as st

from hpo.search.schedulers.make import outline
from hpo.spec.sections.scheduler import (
    Asha,
    Median,
    NoScheduler,
)
from tests.search.schedulers.studies import HALVING, HYPERBAND


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


def test_the_plan_knows_the_rungs_of_all_brackets():
    assert outline(HYPERBAND, 27, 49).budgets == {1, 3, 9, 27}
    assert outline(NoScheduler(name="none"), 5, 7).budgets == {5}


def test_the_plan_says_where_its_epochs_are_an_upper_bound():
    assert outline(NoScheduler(name="none"), 5, 7).epochs == 35
    assert not outline(NoScheduler(name="none"), 5, 7).is_upper_bound
    assert outline(Asha(name="asha"), 5, 7).is_upper_bound
    assert outline(Median(name="median"), 5, 7).is_upper_bound
