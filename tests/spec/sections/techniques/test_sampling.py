"""The section `sampling` of a spec."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hpo.spec.sections.techniques.sampling import Sampling, sampling_mistakes


def test_rows_are_drawn_by_class_only_where_each_has_one() -> None:
    for name in ("stratified", "balanced"):
        sampling = Sampling(name=name)  # type: ignore[arg-type]
        assert not [*sampling_mistakes(sampling, ("classification", "regression"))]
        assert [*sampling_mistakes(sampling, ("segmentation",))] == [
            f"{name} needs one class for each row, and the task is segmentation: remove it"
        ]
    assert not [*sampling_mistakes(Sampling(), ("regression",))]


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_is_above_none_of_the_rows_and_at_most_all(share: float) -> None:
    with pytest.raises(ValidationError, match="share"):
        Sampling(share=share)


def test_losses_are_kept_of_one_training_split() -> None:
    assert [*sampling_mistakes(Sampling(name="curriculum"), ("regression",), 5)] == [
        "curriculum keeps the losses of one training split: remove data.folds"
    ]
    assert not [*sampling_mistakes(Sampling(name="importance"), ("regression",))]
