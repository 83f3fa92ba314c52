"""Spaces and picks that the tests of `auto` share."""

from hpo.search.sampler import Setting
from hpo.space import Choice, Condition, Dimension, Float, SearchSpace
from hpo.spec.sections.scheduler import AutoScheduler

AUTO = AutoScheduler(name="auto")


def space_of(dimensions, conditional=0):
    plain = [Dimension("kind", Choice(("a", "b")))]
    plain += [Dimension(f"x{i}", Float(0.0, 1.0)) for i in range(dimensions - 1 - conditional)]
    condition = Condition("kind", ("a",))
    children = [Dimension(f"y{i}", Float(0.0, 1.0), condition) for i in range(conditional)]
    return SearchSpace((*plain, *children))


def study_of(trials, scheduler, objectives=1):
    return Setting(0, trials, 27, scheduler, objectives)


def names(picks):
    return [(pick.spec.name, pick.until) for pick in picks.picks]
