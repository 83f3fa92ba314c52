"""How a model is explained."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.errors import HpoError
from hpo.trained.explain.findings import How, check_unshuffled, chosen_metric, row_text, some_places


def test_of_many_examples_some_are_drawn_in_order() -> None:
    assert some_places(3, How(rows=3)).tolist() == [0, 1, 2]
    drawn = some_places(1000, How(rows=50))
    assert len({*drawn.tolist()}) == 50
    assert (np.diff(drawn) > 0).all()
    assert drawn.tolist() == some_places(1000, How(rows=50)).tolist()
    assert drawn.tolist() != some_places(1000, How(rows=50, seed=1)).tolist()


@pytest.mark.parametrize(
    ("how", "option"), [(How("loss"), "--metric"), (How(repeats=3), "--repeats")]
)
def test_options_of_shuffles_are_refused_where_no_column_is_shuffled(how: How, option: str) -> None:
    check_unshuffled(How(rows=3, worst=1))
    with pytest.raises(HpoError, match=f"{option}: is for models of columns.*: leave it out for"):
        check_unshuffled(how)


def test_a_metric_is_the_usual_one_or_one_that_there_is() -> None:
    metrics = {"loss": 0.5, "rmse": 2.0}
    assert chosen_metric(How(), "loss", metrics) == "loss"
    assert chosen_metric(How("rmse"), "loss", metrics) == "rmse"
    with pytest.raises(HpoError, match=r"--metric: unknown name 'rsme'\. Did you mean 'rmse'"):
        chosen_metric(How("rsme"), "loss", metrics)


def test_rows_are_told_as_people_read_them() -> None:
    assert row_text(["yes"]) == "yes"
    assert row_text(np.array([0.5, 1 / 3])) == "0.5, 0.333333"
