"""The list of techniques, with the costs that were measured."""

from __future__ import annotations

from hpo.registry import OPTIMIZERS, SCHEDULES
from hpo.spec.reference.techniques import costs, listed_techniques
from hpo.techniques import TECHNIQUES


def test_every_technique_optimizer_and_schedule_is_listed_with_its_place_and_paper():
    listed = {each.name: each for each in listed_techniques()}
    assert [*listed] == [*TECHNIQUES, *OPTIMIZERS, *SCHEDULES]
    assert listed["sam"].place == "updates.sam_radius"
    assert listed["swa"].place == "train.average.name: swa"
    assert listed["dog"].place == "optimizer.name: dog"
    assert listed["cosine"].place == "optimizer.schedule.name: cosine"
    assert listed["sam"].paper == "https://arxiv.org/abs/2010.01412"


def test_costs_are_of_listed_techniques():
    measured = costs().get("percent", {})
    assert measured.keys() <= {each.name for each in listed_techniques()}
    for each in listed_techniques():
        assert each.cost == measured.get(each.name, {})
