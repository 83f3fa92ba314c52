"""The average of a spec: numbers that its kind does not have are refused."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.spec.sections.techniques.average import Average, average_mistakes


@pytest.mark.parametrize(
    ("average", "leaf"),
    [
        ({"decay": 0.9}, "decay"),
        ({"name": "swa", "decay": 0.9}, "decay"),
        ({"name": "ema", "start": 0.5}, "start"),
    ],
)
def test_a_number_of_another_average_is_refused(average: dict[str, Any], leaf: str) -> None:
    ((path, text),) = average_mistakes(Average.model_validate(average))
    assert path == ("train", "average", leaf)
    assert text.startswith("is a number of ")
    assert not [*average_mistakes(Average.model_validate({"name": "swa", "start": 0.5}))]
