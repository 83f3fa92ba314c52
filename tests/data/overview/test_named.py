"""A look at a data set that a spec can name."""

import pytest
from sklearn.datasets import load_diabetes

from hpo.data.overview.named import look_at_named
from hpo.errors import DataError


def test_a_bundled_table_has_its_columns_and_its_task():
    seen = look_at_named("diabetes", None)
    expected = load_diabetes(scaled=False).data

    assert seen.target.task == "regression"
    assert len(seen.columns) == 10
    assert [column.distinct for column in seen.columns] == [
        len(set(column)) for column in expected.T.tolist()
    ]


def test_classes_have_their_names():
    assert look_at_named("wine", None).target.classes == {
        "class_1": 71,
        "class_0": 59,
        "class_2": 48,
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [("irsi", "unknown data set 'irsi'. Did you mean 'iris'"), ("mnist", "hpo data get mnist")],
)
def test_what_is_not_there_is_refused(name, message):
    with pytest.raises(DataError, match=message):
        look_at_named(name, None)
