"""Conditions and sums as text: they hold and have the values that they read as."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.spec.space.expressions import evaluate, holds, parse_condition, parse_sum

VALUES = {"a.x": 3, "a.y": "relu", "a.z": True, "a.n": None, "a.l": [64, 64], "a.f": 0.5}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.x == 3", True),
        ("a.x != 3", False),
        ("2 < a.x", True),
        ("a.x <= 2.5", False),
        ("a.x > -1 and a.f >= .5", True),
        ("a.y == relu", True),
        ("a.y == 'relu' or a.x == 4", True),
        ('a.y in [gelu, "relu"]', True),
        ("a.y not in [gelu, relu]", False),
        ("a.l in [[64], [64, 64]]", True),
        ("a.z == 1", False),  # True is not 1
        ("a.z == true", True),
        ("a.n == null", True),
        ("a.n < 1", False),  # nothing to compare
        ("a.gone == 1", False),
        ("not a.gone == 1", True),
        ("not (a.x == 3 and a.y == relu)", False),
        ("a.x == 4 and a.x == 3 or a.y == relu", True),  # and binds tighter
        ("a.x == 4 and (a.x == 3 or a.y == relu)", False),
        ("not a.x == 4 and a.x == 3", True),  # not binds tightest
        ("a.x == a.x", True),
        ("a.f == 5e-1", True),
    ],
)
def test_a_condition_holds_as_it_reads(text, expected):
    assert holds(parse_condition(text), VALUES.__getitem__) is expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.x", 3),
        ("a.x * 2", 6),
        ("a.x + 2 * 3 - 1", 8),
        ("(a.x + 2) * 3", 15),
        ("a.x / 2 / 2", 0.75),
        ("-a.f", -0.5),
        ("a.x - -1", 4),
        ("a.y", "relu"),
    ],
)
def test_a_sum_has_the_value_of_arithmetic(text, value):
    assert evaluate(parse_sum(text), VALUES.__getitem__) == value


@pytest.mark.parametrize("text", ["a.y * 2", "a.x / 0", "a.z + 1", "1e308 * 10 * a.x"])
def test_a_sum_without_a_value_says_so(text):
    with pytest.raises(ValueError, match=r"is not|has no"):
        evaluate(parse_sum(text), VALUES.__getitem__)


@settings(deadline=None, max_examples=60)
@given(st.text("aore.x0192+-*/()[]<>=!,' \"", max_size=40) | st.text(max_size=20))
def test_any_text_is_an_expression_or_a_mistake(text):
    for parse in (parse_condition, parse_sum):
        with suppress(ValueError):
            parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "a.x == 1",
        "not " * 300 + "a.x == 1",
        "a.x == 1" + " or a.x == 1" * 500,
        "a.x == " + "[" * 300,
    ],
)
def test_an_endless_expression_is_a_mistake(text):
    with pytest.raises(ValueError, match=r"nested|words"):
        parse_condition(text)
