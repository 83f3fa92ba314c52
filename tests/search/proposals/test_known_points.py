"""Known points, which are tried before the sampler is asked."""

from typing import ClassVar

import pytest

from hpo.errors import HpoError
from hpo.search.proposals.known_points import KnownFirst
from hpo.space import SearchSpace
from hpo.trial import Trial
from tests.search.proposals.spaces import PLAIN, Recorder, ended, sampler_of


def test_the_sampler_continues_after_the_known_points():
    points = ({"rate": 0.5, "kind": "a"}, {"rate": 0.25, "kind": "b", "depth": 3})
    sampler = sampler_of("random", PLAIN, points=points)
    proposals = sampler.ask([], 4)
    assert proposals[:2] == [*points]
    assert proposals[2:] == sampler_of("random", PLAIN).ask([Trial(0, {}), Trial(1, {})], 2)
    # One by one it is the same, and a resumed study repeats nothing.
    begun = [Trial(0, proposals[0])]
    assert sampler_of("random", PLAIN, points=points).ask(begun, 3) == proposals[1:]


def test_points_added_to_a_study_come_next():
    begun = [Trial(n, {"rate": 0.1 * (n + 1), "kind": "a"}) for n in range(3)]
    points = ({"rate": 0.1, "kind": "a"}, {"rate": 0.9, "kind": "c"})
    (proposal,) = sampler_of("random", PLAIN, points=points).ask(begun, 1)
    assert proposal == points[1]


def test_values_that_a_point_leaves_open_are_drawn_reproducibly():
    first = sampler_of("random", PLAIN, points=({"kind": "b"}, {"kind": "b"})).ask([], 2)
    again = sampler_of("random", PLAIN, points=({"kind": "b"}, {"kind": "b"})).ask([], 2)
    assert first == again
    assert [p["kind"] for p in first] == ["b", "b"]
    assert first[0]["rate"] != first[1]["rate"]
    assert 1 <= first[0]["depth"] <= 9


class Below:
    """Forbids rates below a half."""

    text, deciding = "rate < 0.5", frozenset({"rate"})
    landmarks: ClassVar = {}

    def forbids(self, hparams):
        return hparams["rate"] < 0.5


RULED = SearchSpace(PLAIN.dimensions, rules=(Below(),))


def test_a_point_is_completed_by_the_rules_or_refused():
    sampler = sampler_of("random", RULED, points=({"kind": "a"},))
    assert sampler.ask([], 1)[0]["rate"] >= 0.5
    with pytest.raises(HpoError, match=r"search.start\[0\]"):
        KnownFirst(Recorder(), RULED, 0, [{"rate": 0.1}])


@pytest.mark.parametrize("name", ["random", "qmc", "tpe", "gp"])
def test_no_sampler_proposes_what_a_rule_forbids(name):
    trials = [ended(n, h, h["rate"]) for n, h in enumerate(sampler_of("random", RULED).ask([], 12))]
    proposals = sampler_of(name, RULED).ask(trials, 4)
    assert len(proposals) == 4
    assert all(RULED.allows(hparams) for hparams in proposals)


class Odd:
    """Forbids odd depths."""

    text, deciding = "depth is odd", frozenset({"depth"})
    landmarks: ClassVar = {}

    def forbids(self, hparams):
        return hparams.get("depth", 0) % 2 == 1


@pytest.mark.parametrize("name", ["grid", "random", "tpe"])
def test_a_ruled_finite_space_is_tried_in_full_and_once(name):
    space = SearchSpace(PLAIN.dimensions[1:], rules=(Odd(),))
    trials = []
    while proposals := sampler_of(name, space, points=({"kind": "c"},)).ask(trials, 3):
        trials += [ended(len(trials) + k, h, float(k)) for k, h in enumerate(proposals)]
    assert len(trials) == space.size == 2 + 4
    assert len({str(trial.hparams) for trial in trials}) == len(trials)
    assert trials[0].hparams == {"kind": "c"}
