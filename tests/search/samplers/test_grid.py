"""Grid search."""

import pytest

from hpo.errors import HpoError
from hpo.space import Float, Int
from tests.search.samples import FINITE, sampler_of, space_of, told


# By hand: x, y with b true: 2; with b = 1: c = 1 gives 1, c = 2 and 3 give 5 each, so 11; twice.
# z: e has one value, f two.
@pytest.mark.parametrize(
    ("label", "size"),
    [("empty", 1), ("steps", 5 * 5 * 5), ("lists and mappings", 6), ("log ints", 18),
     ("single values", 2), ("conditional", 2 * (1 + 11) + 2)],
)  # fmt: skip
def test_a_grid_holds_every_combination_once(label, size):
    space = FINITE[label]
    found = sampler_of("grid", space).ask([], 1000)
    assert len(found) == size
    assert len({repr(hparams) for hparams in found}) == size


def test_a_grid_gives_less_at_its_end_and_then_nothing():
    space = FINITE["lists and mappings"]
    sampler = sampler_of("grid", space)
    assert len(sampler.ask(told(space, 4), 5)) == 2
    assert sampler.ask(told(space, 6), 5) == []


def test_a_huge_grid_is_not_written_out():
    space = space_of(**{f"x{n}": Int(1, 1000) for n in range(40)})
    found = sampler_of("grid", space).ask([], 3)
    assert len({repr(hparams) for hparams in found}) == 3


def test_a_continuous_grid_is_refused_with_the_cure():
    with pytest.raises(HpoError, match=r"space.x: .* give a step, or list them with choice"):
        sampler_of("grid", space_of(x=Float(0.0, 1.0)))
