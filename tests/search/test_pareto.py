import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.search.pareto import hypervolume, knee, nondominated, pareto_front
from hpo.trial import Trial, TrialState

coordinates = st.integers(0, 6).map(float)


def clouds(dimensions):
    return st.lists(st.tuples(*[coordinates] * dimensions), max_size=12)


def test_a_front_holds_what_nothing_beats():
    points = [(1.0, 5.0), (2.0, 3.0), (2.0, 4.0), (4.0, 1.0), (5.0, 1.0), (2.0, 3.0)]
    assert nondominated(points) == [0, 1, 3, 5]


def test_the_front_of_a_study_keeps_its_constraints():
    def trial(number, values, state=TrialState.COMPLETE, violation=0.0):
        return Trial(number, {}, state, (values[0],), values, violation)

    trials = [
        trial(0, (1.0, 5.0)),
        trial(1, (0.0, 0.0), violation=0.1),
        trial(2, (0.0, 0.0), TrialState.PRUNED),
        trial(3, (3.0, 3.0)),
        trial(4, (3.0, 4.0)),
    ]
    assert [trial.number for trial in pareto_front(trials)] == [0, 3]


def test_the_area_of_a_staircase():
    assert hypervolume([(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)], (4.0, 4.0)) == 3 + 2 + 1
    assert hypervolume([(1.0, 5.0), (4.0, 1.0)], (4.0, 4.0)) == 0  # beyond the reference
    assert hypervolume([], (1.0, 1.0)) == 0


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
def test_the_hypervolume_is_that_of_the_unit_cells_below_it(dimensions):
    @given(clouds(dimensions))
    def check(points):
        cells = np.indices((6,) * dimensions).reshape(dimensions, -1).T
        covered = np.zeros(len(cells), bool)
        for point in points:
            covered |= (cells >= np.array(point)).all(1)
        assert hypervolume(points, (6.0,) * dimensions) == covered.sum()

    check()


def test_the_knee_is_where_both_objectives_are_good():
    assert knee([(0.0, 100.0), (1.0, 10.0), (10.0, 0.0)]) == 1
    assert knee([(3.0, 3.0)]) == 0
