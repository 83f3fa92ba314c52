"""The part `compression.sparsity` of a spec."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hpo.spec.sections.compression.sparsity import Sparsity, sparsity_mistakes


@pytest.mark.parametrize(
    ("leaf", "value"),
    [
        ("name", "smallest"),
        ("share", 1.0),
        ("share", -0.1),
        ("begin", 1.1),
        ("rewind", -0.1),
        ("scope", "all"),
    ],
)
def test_values_that_no_sparsity_has_are_refused(leaf: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=leaf):
        Sparsity.model_validate({leaf: value})


def test_a_group_of_which_all_weights_are_kept_is_refused() -> None:
    ((path, text),) = sparsity_mistakes(Sparsity(name="kept"))
    assert path == ("model", "from")
    assert text == (
        "names no trained model, whose zeros compression.sparsity keeps: name one, or write "
        "sparsity: {name: fixed}"
    )
    assert not [*sparsity_mistakes(Sparsity(name="kept"), "base")]
    ((path, text),) = sparsity_mistakes(Sparsity(name="n_of_m", n=4, m=4))
    assert path == ("compression", "sparsity", "n")
    assert text == "4 of 4 weights cuts none: write a smaller n, or a larger m"
    assert not [*sparsity_mistakes(Sparsity(name="n_of_m"))]


@pytest.mark.parametrize(
    ("times", "leaf"),
    [
        ({"rewind": 0.7}, "rewind"),
        ({"rewind": 0.4, "end": 0.4}, "rewind"),
        ({"rewind": 0.5, "begin": 0.5, "end": 0.3}, "rewind"),
        ({"rewind": 0.3, "end": 1.0}, "end"),
        ({"rewind": 0.3, "begin": 1.0}, "begin"),
    ],
)
def test_weights_that_go_back_at_no_time_or_train_no_more_are_refused(
    times: dict[str, float], leaf: str
) -> None:
    ((path, _),) = sparsity_mistakes(Sparsity(name="magnitude", share=0.5, **times))
    assert path == ("compression", "sparsity", leaf)


@pytest.mark.parametrize("times", [{"rewind": 0.6}, {"rewind": 0.3, "end": 0.1, "begin": 0.4}])
def test_weights_that_go_back_and_train_again_are_not(times: dict[str, float]) -> None:
    assert not [*sparsity_mistakes(Sparsity(name="magnitude", share=0.5, **times))]
