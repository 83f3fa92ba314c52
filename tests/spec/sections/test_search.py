"""The search section: durations, goals and what a sampler needs."""

import pytest

from hpo.spec.sections.goal import Constraint, Objective
from hpo.spec.sections.search import OptunaGp, Random, SearchSpec, duration_seconds, missing_package


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172_800), (90, 90)],
)
def test_a_duration_is_seconds(written, seconds):
    assert duration_seconds(written) == seconds


@pytest.mark.parametrize("written", ["", "90", "10 m", "10M", "m10", "1h30", "-5s"])
def test_what_is_no_duration_is_refused_with_what_is(written):
    with pytest.raises(ValueError, match="is not a duration: write 90s, 10m, 1h30m or a number"):
        duration_seconds(written)


def searched(**fields):
    return SearchSpec.model_validate({"trials": 8, **fields})


def test_one_objective_or_a_list_is_a_goal():
    one = searched(objective={"maximize": "accuracy"})
    assert one.goal.objectives == (Objective(maximize="accuracy"),)
    bound = {"metric": "parameters", "at_most": 100}
    both = searched(
        objective=[{"maximize": "accuracy"}, {"minimize": "flops"}], constraints=[bound]
    )
    assert [objective.metric for objective in both.goal.objectives] == ["accuracy", "flops"]
    assert both.goal.constraints == (Constraint(**bound),)


def test_earlier_studies_are_listed_under_from():
    assert searched(objective={"maximize": "accuracy"}).sources == ()
    learning = searched(**{"objective": {"maximize": "accuracy"}, "from": ["one", "two"]})
    assert learning.sources == ("one", "two")


def test_a_sampler_lacks_its_package_only_where_that_is_not_installed(monkeypatch):
    gp = OptunaGp(name="optuna_gp")
    monkeypatch.setattr("hpo.spec.sections.search.find_spec", lambda package: None)
    assert missing_package(Random(name="random")) is None
    assert missing_package(gp) == (
        "optuna_gp needs the package torch, which is not installed:"
        " pip install 'hpo-lanes[optuna_gp]', or use another sampler"
    )
    monkeypatch.setattr("hpo.spec.sections.search.find_spec", lambda package: object())
    assert missing_package(gp) is None


@pytest.mark.parametrize(
    ("written", "meant"), [(True, True), (False, False), ("2m", 120.0), (90, 90.0)]
)
def test_baselines_are_a_switch_or_a_time(written, meant):
    found = searched(objective={"maximize": "accuracy"}, baselines=written).baselines
    assert (found, type(found)) == (meant, type(meant))


@pytest.mark.parametrize("written", ["on", 0, -5, [1], 1e999])
def test_baselines_that_are_neither_are_refused(written):
    with pytest.raises(ValueError, match="baselines"):
        searched(objective={"maximize": "accuracy"}, baselines=written)
