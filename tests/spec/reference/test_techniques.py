"""The list of techniques, with the costs that were measured."""

from __future__ import annotations

import re

from hpo.registry import OPTIMIZERS, SCHEDULES
from hpo.spec.reference.techniques import costs, listed_techniques, not_with
from hpo.techniques import TECHNIQUES
from tests.checkout import ROOT


def test_every_technique_optimizer_and_schedule_is_listed_with_its_place_and_paper():
    listed = {each.name: each for each in listed_techniques()}
    assert [*listed] == [*TECHNIQUES, *OPTIMIZERS, *SCHEDULES]
    assert listed["sam"].place == "updates.sam_radius"
    assert listed["swa"].place == "train.average.name: swa"
    assert listed["dog"].place == "optimizer.name: dog"
    assert listed["cosine"].place == "optimizer.schedule.name: cosine"
    assert listed["ema"].numbers == ("train.average.decay",)
    assert listed["sam"].paper == "https://arxiv.org/abs/2010.01412"


def test_the_documentation_says_which_techniques_have_no_paper():
    text = (ROOT / "docs" / "techniques.md").read_text()
    without = re.search(r"^No paper: (.*)$", text, re.MULTILINE)
    named = re.findall(r"`(\w+)`", without[1])
    assert named == [each.name for each in listed_techniques() if not each.paper]


def test_both_parts_of_a_pair_that_does_not_go_together_name_the_other():
    assert {"dog", "momo", "growing batches"} <= {*not_with("l1")}
    assert {"l1", "decay_on"} <= {*not_with("dog")}
    assert {"swap_noise", "momo", "sam", "folds", "model.norm: batch"} <= {*not_with("privacy")}
    assert "privacy" in not_with("swap_noise")
    assert not_with("flip") == ()
    assert not_with("cosine") == ()


def test_costs_are_of_listed_techniques():
    measured = costs().get("percent", {})
    assert measured.keys() <= {each.name for each in listed_techniques()}
    for each in listed_techniques():
        assert each.cost == measured.get(each.name, {})
