# ruff: noqa: E501 - a message is one line, as users see it
"""Entries of the space, as they are written."""

import pytest

from hpo.errors import SpecError
from hpo.space import Choice
from tests.spec.samples import loaded
from tests.spec.space.samples import searched


def test_a_constant_is_a_choice_of_one(tmp_path):
    space = loaded(tmp_path, "space: {model.norm: layer, model.dropout: {value: 0.2}}").space
    assert [d.distribution for d in space.dimensions] == [Choice(("layer",)), Choice((0.2,))]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"float": [0.0, 0.5], "prior": 0.7}, "space.model.dropout.prior: 0.7 is not among its values: write 0.0 to 0.5"),
        ({"float": [0.0, 0.5], "adapt": 3}, "space.model.dropout.adapt: cannot be 3: write true, or its limits [low, high]"),
        ({"float": [0.0, 0.5], "adapt": [0.1, 0.9]}, "space.model.dropout.adapt: [0.1, 0.9] leaves out some of 0.0 to 0.5: write wider limits"),
        ({"float": [0.0, 0.5], "adapt": [0.0, 1.0]}, "space.model.dropout.adapt: cannot be 1.0: write a number from 0 to below 1"),
        ({"choice": [0.1, 0.2], "adapt": True}, "space.model.dropout.adapt: does not go with choice: remove it, or write float or int"),
        ({"float": [0.1, 0.5], "log": True, "adapt": [0, 0.9]}, "space.model.dropout.adapt: low (0) must be above 0 for log: raise it or remove log"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_prior_or_a_moving_range_is_one_line(entry, message):
    with pytest.raises(SpecError) as caught:
        searched({"model.dropout": entry})
    assert [line.strip() for line in caught.value.mistakes] == [message]
