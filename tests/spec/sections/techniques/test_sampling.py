"""The section `sampling` of a spec."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hpo.spec.sections.techniques.sampling import Sampling


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_is_above_none_of_the_rows_and_at_most_all(share: float) -> None:
    with pytest.raises(ValidationError, match="share"):
        Sampling(share=share)
