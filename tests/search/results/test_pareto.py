import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.search.results.pareto import (
    along_front,
    fronts,
    hypervolume,
    knee,
    nondominated,
    pareto_front,
)
from hpo.trial import Trial, TrialState

coordinates = st.integers(0, 6).map(float)


def clouds(dimensions):
    return st.lists(st.tuples(*[coordinates] * dimensions), max_size=12)


def test_a_front_holds_the_points_that_none_dominates():
    points = [(1.0, 5.0), (2.0, 3.0), (2.0, 4.0), (4.0, 1.0), (5.0, 1.0), (2.0, 3.0)]
    assert nondominated(points) == [0, 1, 3, 5]


def test_fronts_are_ordered_from_undominated_to_most_dominated():
    points = [(1.0, 5.0), (2.0, 3.0), (2.0, 4.0), (4.0, 1.0), (5.0, 1.0), (2.0, 3.0), (5.0, 5.0)]
    assert fronts(points) == [[0, 1, 5, 3], [2, 4], [6]]
    assert fronts([(3.0,), (1.0,), (2.0,), (1.0,)]) == [[1, 3], [2], [0]]
    assert fronts([]) == []


@given(clouds(3))
def test_each_front_is_undominated_without_the_fronts_before_it(points):
    left = list(range(len(points)))
    for front in fronts(points):
        best = [left[position] for position in nondominated([points[index] for index in left])]
        assert sorted(front) == best
        assert front == sorted(front, key=lambda index: (points[index], index))
        left = [index for index in left if index not in front]
    assert left == []


def test_the_first_points_along_a_front_are_its_ends_and_the_farthest_from_them():
    front = [(0.0, 100.0), (1.0, 98.0), (4.0, 50.0), (9.0, 20.0), (10.0, 0.0)]
    # Of a range of 1 in each: (.4, .5) is .64 from both ends, (.9, .2) .22 from one.
    assert list(along_front(front)) == [0, 4, 2, 3, 1]
    assert list(along_front([(2.0,), (2.0,)])) == [0, 1]
    assert list(along_front([(1.0, 1.0)])) == [0]
    assert list(along_front([])) == []


@given(clouds(3).map(lambda points: [points[index] for index in nondominated(points)]))
def test_every_point_of_a_front_comes_once_the_best_of_each_objective_first(points):
    order = list(along_front(points))
    assert sorted(order) == list(range(len(points)))
    bests = {min(column) for column in zip(*points, strict=True)}
    first = [points[index] for index in order[:3]]
    assert all(any(best in point for point in first) for best in bests)


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
