"""Random search."""

from dataclasses import replace
from typing import ClassVar

from hpo.search.samplers.random import RandomSearch
from hpo.space import Choice, Float
from tests.search.samples import CONTINUOUS, sampler_of, space_of, told


def test_a_random_draw_depends_on_nothing_but_seed_and_number():
    space = CONTINUOUS["mixed"]
    at_once = sampler_of("random", space).ask([], 20)
    assert sampler_of("random", space).ask(told(space, 15), 5) == at_once[15:]
    assert len({repr(hparams) for hparams in at_once}) == 20


def test_a_draw_leaves_its_cohort_where_rules_allow_nothing_beside_the_leader():
    class Rule:
        text, deciding = "", frozenset({"width", "rate"})
        landmarks: ClassVar = {}

        def forbids(self, hparams):
            return hparams["width"] == 8 and hparams["rate"] != 0.5

    space = replace(space_of(width=Choice((8, 16)), rate=Float(0.0, 1.0)), rules=(Rule(),))
    drawn = RandomSearch(space, 0).draw(3, {"width": 8})
    assert drawn["width"] == 16
    assert RandomSearch(space, 0).draw(3, {"width": 16})["width"] == 16
