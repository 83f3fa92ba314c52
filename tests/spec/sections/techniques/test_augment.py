"""Numbers of `augment` for another kind of data, and what a space may vary."""

import pytest

from hpo.errors import SpecError
from hpo.spec.load import experiment_from_document
from tests.spec.test_included_spaces import FILES

TABLE = {
    "name": "x",
    "data": {"dataset": "iris"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd"},
    "train": {"epochs": 3},
}


@pytest.mark.parametrize(
    "parts", [{"augment": {"flip": 0.5}}, {"space": {"augment.flip": {"float": [0.0, 0.5]}}}]
)
def test_a_table_refuses_numbers_of_images(parts):
    with pytest.raises(SpecError, match=r"changes images, and iris is a table: remove it"):
        experiment_from_document({**TABLE, **parts}, FILES[0].parent)


def test_a_misspelt_number_is_named():
    with pytest.raises(SpecError, match=r"augment\.flp: unknown key 'flp'. Did you mean 'flip'"):
        experiment_from_document({**TABLE, "augment": {"flp": 0.5}}, FILES[0].parent)
