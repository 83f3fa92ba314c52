"""YAML 1.2 values with their lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import SpecError
from hpo.spec.file.document import Place, parse_value, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E+2", 100.0),
        ("1e5", 1e5),
        ("-.5", -0.5),
        ("7.", 7.0),
        ("010", 10),
        ("-3", -3),
        ("true", True),
        ("on", "on"),
        ("yes", "yes"),
        ("Off", "Off"),
        ("null", None),
        ("~", None),
        ("12:30:00", "12:30:00"),
        ("2026-01-31", "2026-01-31"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("'1e-3'", "1e-3"),
        ("10m", "10m"),
        (".inf", float("inf")),
        ("[1, {a: b}]", [1, {"a": "b"}]),
    ],
)
def test_a_scalar_is_what_it_looks_like(text, value):
    read = parse_value(text, Place("here"))
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "is empty"),
        ("# only a comment\n", 1, "is empty"),
        ("a: 1\n\tb: 2", 2, "indent with spaces"),
        ("a: b: c", 1, "quote text that holds a colon"),
        ("a: [1\nb: 2", 2, "not YAML"),
        ("a: 'open", 1, "not YAML"),
        ("a: *b", 1, "define it with &"),
        ("a: 1\n---\nb: 2", 2, "one document"),
        ("a: 1\n1.5: 2", 2, "the key 1.5 is not a name"),
        ("true: 2", 1, "the key true is not a name"),
        ("? [a, b]\n: 2", 1, "cannot be a key"),
        ("a: 1\nb: &b [*b]", 2, "holds itself"),
        ("a: &a {x: 1}\nb:\n  <<: *a", 3, "merge keys"),
        ("a: !!python/object:os.system x", 1, "unknown tag !!python/object:os.system"),
        ("a: !!int x", 1, "cannot read 'x' as int"),
        ("a: " + "9" * 5000, 1, "as a number"),
        ("a: \x07", 1, "U+0007"),
        ("[" * 600, 1, "nested too deeply"),
    ],
)
def test_text_that_is_no_spec_is_refused_at_its_line(text, line, what):
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, "spec.yaml")
    (message,) = caught.value.mistakes
    assert message.startswith(f"spec.yaml:{line}: ")
    assert what in message
    assert "\n" not in message


def test_a_whole_number_as_a_key_is_a_name_as_it_is_written():
    document = parse_yaml("weights: {1: 10, 02: 3, -1: 2, '5': 1}", "spec.yaml")
    assert document.values == {"weights": {"1": 10, "02": 3, "-1": 2, "5": 1}}


def test_an_alias_stands_for_its_value():
    assert parse_yaml("a: &w [1, 2]\nb: *w", "f").values == {"a": [1, 2], "b": [1, 2]}


def test_an_alias_bomb_is_refused():
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)
    )
    with pytest.raises(SpecError, match="aliases expand"):
        parse_yaml(bomb, "f")


def test_every_value_knows_its_line():
    document = parse_yaml("a:\n  b: [1,\n    2]\n'c.d': {e: 3}\n", "f")
    lines = {path: place.line for path, place in document.places.items()}
    assert lines == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", 0): 2,
        ("a", "b", 1): 3,
        ("c.d",): 4,
        ("c.d", "e"): 4,
    }


def test_a_key_given_twice_is_a_mistake_with_both_lines():
    document = parse_yaml("a: 1\nb: 2\na: 3\n", "f")
    assert document.lines(document.mistakes) == [
        "f:1: a: is given twice, on lines 1 and 3: remove one"
    ]


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text):
    try:
        mistakes = parse_yaml(text, "f").mistakes
        lines = [mistake.text for mistake in mistakes]
    except SpecError as error:
        lines = error.mistakes
    assert not any("\n" in line for line in lines)
