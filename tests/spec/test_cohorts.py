"""Which searches may propose in cohorts."""

import pytest

from hpo.spec.cohorts import can_share_programs, cohort_mistakes
from hpo.spec.sections.search import SearchSpec


def search(sampler, scheduler="none", cohort=4):
    return SearchSpec.model_validate(
        {
            "objective": {"maximize": "accuracy"},
            "trials": 8,
            "cohort": cohort,
            "sampler": {"name": sampler},
            "scheduler": {"name": scheduler},
        }
    )


@pytest.mark.parametrize(
    ("sampler", "scheduler", "can_share"),
    [
        ("tpe", "none", True),
        ("tpe", "hyperband", True),
        ("curve_gp", "none", True),
        ("random", "none", False),  # proposes without regard to other trials
        ("tpe", "pbt", False),  # begins with random draws
    ],
)
def test_a_cohort_needs_a_sampler_that_takes_given_values(sampler, scheduler, can_share):
    assert can_share_programs(search(sampler, scheduler)) == can_share
    assert (list(cohort_mistakes(search(sampler, scheduler))) == []) == can_share


def test_a_cohort_of_one_asks_nothing_of_the_sampler():
    assert list(cohort_mistakes(search("random", cohort=1))) == []
