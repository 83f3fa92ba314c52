"""The section `sampling` of a spec."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hpo.errors import SpecError
from hpo.spec.sections.techniques.sampling import Sampling
from tests.study.whole import an_experiment


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_is_above_none_of_the_rows_and_at_most_all(share: float) -> None:
    with pytest.raises(ValidationError, match="share"):
        Sampling(share=share)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["sampling.extra_share=0.2"],
            "takes rows of data.extra: write that file, or leave extra_share out",
        ),
        (
            ["space.sampling.extra_share={float: [0.0, 0.5]}"],
            "takes rows of data.extra: write that file, or leave extra_share out",
        ),
        (
            ["data.extra=more.csv", "sampling.extra_share=0.2", "privacy={noise: 1.0, clip: 1.0}"],
            "draws each row by itself, and sampling.extra_share draws the rows of a trial in an",
        ),
    ],
)
def test_a_share_of_extra_rows_is_refused_where_there_are_none_or_rows_are_private(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(SpecError) as refused:
        an_experiment(*overrides)
    assert message in str(refused.value)
