"""Objectives, constraints and rules that end a search."""

from hpo.spec.sections.goal import StopSpec


def test_what_ends_a_study_is_told_as_one_or_as_many():
    stop = StopSpec(no_improvement=1, epochs=1)
    assert str(stop) == "after 1 trial in full without a better one, after 1 epoch"
