"""Spec classes by their variants and paths."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from hpo.spec.marks import Count, Spec
from hpo.spec.schema import (
    all_leaves,
    default_of,
    item_spec,
    leaves_at,
    place_of,
    spec_mistakes,
    value_at,
    variants_of,
)


class Circle(Spec):
    name: Literal["circle"]
    radius: float = 1.0


class Square(Spec):
    name: Literal["square", "box"]
    side: Count = 2


class Line(Spec):
    points: Annotated[tuple[int, ...], Field(strict=False)]


class Text(Spec):
    letters: str
    size: int = 12


class Page(Spec):
    title: str = "untitled"
    shape: Annotated[Circle | Square, Field(discriminator="name")]
    mark: Line | Text | None = None
    margin: Square = Square(name="square")
    notes: Annotated[tuple[Text, ...], Field(strict=False)] = ()


CIRCLE = {"shape": {"name": "circle"}}
BOX = {"shape": {"name": "box"}, "mark": {"letters": "x"}}


def test_variants_are_known_by_every_name_or_else_by_their_first_key():
    by_name, by_key = variants_of(Page, "shape"), variants_of(Page, "mark")
    assert by_name.tag == "name"
    assert by_name.specs == {"circle": Circle, "square": Square, "box": Square}
    assert by_key.tag is None
    assert by_key.specs == {"points": Line, "letters": Text}
    assert variants_of(Page, "title") is None


@pytest.mark.parametrize(
    ("field", "value", "spec"),
    [
        ("shape", {"name": "box"}, Square),
        ("shape", {"name": "star"}, None),
        ("shape", {"side": 3}, None),
        ("mark", {"size": 3, "letters": "a"}, Text),
        ("mark", {"size": 3}, None),
        ("margin", {}, Square),  # there is no other
        ("margin", "square", None),
    ],
)
def test_a_mapping_says_which_variant_it_is_meant_for(field, value, spec):
    assert variants_of(Page, field).chosen(value) is spec


def test_a_path_leads_to_every_variant_that_has_it():
    paths = {path for path, _ in all_leaves(Page)}
    assert {"title", "shape.radius", "shape.side", "mark.size", "margin.side"} <= paths
    assert {leaf.owner for leaf in leaves_at(Page, "shape.name")} == {Circle, Square}
    assert [leaf.is_tag for leaf in leaves_at(Page, "shape.side")] == [False, False]
    assert all(leaf.is_tag for leaf in leaves_at(Page, "shape.name"))
    assert leaves_at(Page, "shape.colour") == ()


@pytest.mark.parametrize(
    ("values", "path", "value"),
    [
        (CIRCLE, "shape.radius", 1.0),
        ({"shape": {"name": "circle", "radius": 4.0}}, "shape.radius", 4.0),
        (BOX, "mark.size", 12),
        (CIRCLE, "margin.side", 2),
        (CIRCLE, "title", "untitled"),
    ],
)
def test_a_path_has_its_value_or_its_default(values, path, value):
    assert value_at(Page, values, path) == value


@pytest.mark.parametrize(("values", "path"), [(CIRCLE, "shape.side"), (CIRCLE, "mark.size")])
def test_a_path_that_the_chosen_variant_does_not_have_leads_nowhere(values, path):
    with pytest.raises(KeyError):
        value_at(Page, values, path)
    assert place_of(Page, values, path) is None


def test_a_path_ends_at_a_field_of_the_chosen_variant():
    assert place_of(Page, BOX, "shape.side") == (Square, "side")
    assert place_of(Page, BOX, "mark.letters") == (Text, "letters")
    assert place_of(Page, BOX, "title") == (Page, "title")


def test_the_items_of_a_list_of_specs_have_a_spec():
    assert item_spec(Page, "notes") is Text
    assert item_spec(Page, "title") is None


def test_the_default_of_a_part_is_what_its_author_wrote():
    assert default_of(Page, "margin") == {"name": "square"}
    assert default_of(Page, "shape") == {}


def test_every_mistake_has_its_path():
    values = {
        "titel": "x",
        "shape": {"name": "square", "side": 0},
        "notes": [{"letters": "a"}, {"letters": 5}],
    }
    assert [(mistake.path, mistake.text) for mistake in spec_mistakes(Page, values)] == [
        (
            ("titel",),
            "unknown key 'titel'. Did you mean 'title'? "
            "Known keys: margin, mark, notes, shape, title.",
        ),
        (("shape", "side"), "cannot be 0: write a whole number of at least 1"),
        (("notes", 1, "letters"), "cannot be 5: write text"),
    ]
    assert spec_mistakes(Page, BOX) == []
