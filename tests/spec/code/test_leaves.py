"""The leaves that own code gives a spec."""

from typing import Any

import pytest
from pydantic import ValidationError

from hpo.spec.code.leaves import leaves_class, type_of
from hpo.spec.code.signature import COMPUTED, REQUIRED, Argument, Signature
from hpo.spec.marks import Mark, Spec, mark_of


class Net(Spec):
    python: str


def an_argument(annotation="", default: Any = REQUIRED, name="x"):
    return Argument(name, annotation, default, 1)


@pytest.mark.parametrize(
    ("argument", "kind"),
    [
        (an_argument("int"), int),
        (an_argument("float | None", None), float | None),
        (an_argument("float", COMPUTED), float | None),
        (an_argument("int | str", 1), int | str),
        (an_argument("", 0.5), float),
        (an_argument("", True), bool),
        (an_argument("", None), Any),
        (an_argument("Sequence[int]", (1, 2)), Any),
    ],
)
def test_a_leaf_has_the_type_of_its_annotation_or_of_its_default(argument, kind):
    assert type_of(argument) == kind


def test_arguments_are_leaves_but_for_those_that_are_given_otherwise():
    signature = Signature(
        (
            an_argument("int", 64, "width"),
            an_argument("", 0.1, "rate"),
            an_argument("", name="rngs"),
        ),
        3,
    )
    spec = leaves_class(
        Net, signature, lambda _, kind: Mark.KNOB if kind is float else Mark.STATIC, {"rngs"}
    )

    assert [*spec.model_fields] == ["python", "width", "rate"]
    assert (mark_of(spec, "width"), mark_of(spec, "rate")) == (Mark.STATIC, Mark.KNOB)
    made: Any = spec.model_validate({"python": "nets.py:Net", "rate": 0.3})
    assert (made.width, made.rate) == (64, 0.3)
    for wrong in ({"width": 1.5}, {"rate": float("nan")}, {"depth": 2}):
        with pytest.raises(ValidationError):
            spec.model_validate({"python": "nets.py:Net", **wrong})
