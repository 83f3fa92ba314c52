"""What `data.corrupt` takes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hpo.errors import SpecError
from hpo.spec.sections.techniques.corrupt import Corrupt
from tests.study.whole import an_experiment


def test_a_corruption_is_one_of_those_that_there_are() -> None:
    assert Corrupt.model_validate({"kinds": ["blur"]}).severity == 0.5
    with pytest.raises(ValidationError, match="kinds"):
        Corrupt.model_validate({"kinds": ["fog"]})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["train.metrics=[corrupted_accuracy]"],
            "corrupted_accuracy needs data.corrupt.kinds or data.corrupt.from: write it, or leave",
        ),
        (
            ["data.corrupt.kinds=[gaussian_noise]", "data.folds=3"],
            "changes one validation split, and data.folds has several training splits",
        ),
        (
            ["data.corrupt.from=changed.npz", "data.folds=3"],
            "judges beside one validation split, and data.folds has several training splits",
        ),
    ],
)
def test_what_a_corrupted_copy_does_not_go_with_is_refused(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(SpecError) as refused:
        an_experiment(*overrides)
    assert message in str(refused.value)
