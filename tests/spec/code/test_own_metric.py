"""A metric of a user's own in a spec."""

from typing import Any

import pytest

from hpo.errors import SpecError
from hpo.spec.load import experiment_from_document, load_document
from tests.documents import SMALL

METRICS = """
raise SystemExit("a check must not run this")

def top3(predictions, y): ...
def accuracy(predictions, y): ...
def weighted(predictions, y, weight): ...
def needy(predictions, y, k): ...
def short(predictions): ...
"""

TOP3 = {"python": "metrics.py:top3"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "metrics.py").write_text(METRICS)
    return tmp_path


def a_spec(objective: Any, **search: Any) -> dict[str, Any]:
    return {**SMALL, "search": {"objective": objective, "trials": 3, **search}}


def test_an_objective_and_a_constraint_may_be_code_which_each_trial_then_reports(folder):
    constraint = {"metric": {"python": "metrics.py:weighted"}, "at_least": 0.5}
    experiment = load_document(a_spec({"maximize": TOP3}, constraints=[constraint]), folder)

    assert experiment.search is not None
    assert experiment.search.goal.metrics == ("top3", "weighted")
    assert str(experiment.search.goal.first) == "maximize top3"
    assert str(experiment.search.constraints[0]) == "weighted at least 0.5"
    training = experiment.training
    assert training.train.metrics == ("metrics.py:top3", "metrics.py:weighted")
    assert {*training.own_metrics} == {"metrics.py:top3", "metrics.py:weighted"}
    assert training.model_dump()["train"]["metrics"][0] == TOP3
    written = {**experiment.written_out(), "name": "again"}
    assert written["search"]["objective"]["maximize"] == TOP3


@pytest.mark.parametrize(
    ("objective", "says"),
    [
        ({"maximize": {"python": "metrics.py:top4"}}, "has no class or function top4"),
        ({"maximize": {"python": "nowhere.py:top3"}}, "there is no file"),
        ({"maximize": {"python": "metrics.py:accuracy"}}, "has the name of a metric of hpo"),
        ({"maximize": {"python": "metrics.py:needy"}}, "takes k, which hpo does not give"),
        ({"maximize": {"python": "metrics.py:short"}}, "must take two arguments"),
        ({"maximize": {**TOP3, "sha256": 5}}, "write {python: metrics.py:top3} and no other key"),
        ({"maximize": {**TOP3, "k": 5}}, "write {python: metrics.py:top3} and no other key"),
        ([{"maximize": TOP3}, {"minimize": TOP3}], "top3 is listed twice"),
        ({"maximize": "metrics"}, "unknown metric 'metrics'"),
    ],
)
def test_what_is_wrong_with_a_metric_is_said_before_it_runs(folder, objective, says):
    with pytest.raises(SpecError) as raised:
        load_document(a_spec(objective), folder)

    assert says in str(raised.value)
    assert "search.objective" in str(raised.value)


def test_a_stored_study_can_be_read_where_its_metric_is_missing(tmp_path):
    experiment = experiment_from_document(a_spec({"maximize": TOP3}), tmp_path)

    assert experiment.search is not None
    assert experiment.search.goal.metrics == ("top3",)
