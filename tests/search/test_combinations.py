"""The configurations of a finite space by their numbers."""

import pytest

from hpo.search.combinations import shuffled


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 65, 1000])
def test_shuffling_is_a_permutation_that_the_seed_decides(size):
    assert sorted(shuffled(i, size, 0) for i in range(size)) == list(range(size))
    if size > 60:
        assert [shuffled(i, size, 0) for i in range(9)] != [shuffled(i, size, 1) for i in range(9)]
