"""Examples as a reader gives them."""

import numpy as np
import pytest

from hpo.data.source import Source

WHOLE = Source(
    np.arange(8.0).reshape(4, 2),
    np.array([0, 1, 1, 0], np.int32),
    "t.csv, column y",
    ("no", "yes"),
    categories=np.array([[0], [1], [-1], [0]], np.int32),
    weight=np.array([1.0, 0.5, 2.0, 0.0]),
    test=Source(np.zeros((1, 2)), np.zeros(1, np.int32), "test.csv"),
)


def test_chosen_rows_keep_their_features_texts_targets_and_weights_together():
    part = WHOLE.take(np.array([3, 1]))

    assert len(part) == 2
    assert part.x.tolist() == [[6, 7], [2, 3]]
    assert part.y.tolist() == [0, 1]
    assert part.categories.tolist() == [[0], [1]]
    assert part.weight.tolist() == [0.0, 0.5]
    assert (part.classes, part.target) == (WHOLE.classes, WHOLE.target)
    assert part.test is None


@pytest.mark.parametrize("field", ["categories", "weight"])
def test_what_a_source_does_not_have_its_rows_do_not_have_either(field):
    part = Source(np.zeros((3, 1)), np.zeros(3), "t").take(np.array([0]))
    assert getattr(part, field) is None
