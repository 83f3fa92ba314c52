"""Marked leaves, in parts and in lists and mappings of parts."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from hpo.spec.experiment import Training
from hpo.spec.marks import (
    Host,
    Knob,
    Mark,
    Merge,
    Spec,
    Static,
    has_leaf,
    leaf_at,
    marked_leaves,
    with_leaves,
)
from hpo.spec.merging import Merged, how_merged, mergeable, size_paths


class Part(Spec):
    rate: Knob[float] = 0.5
    kind: Static[str] = "plain"


class Outer(Spec):
    seed: int = 0
    steps: tuple[Part, ...] = ()
    named: Annotated[dict[str, Part], Field(default_factory=dict)]
    only: Part = Part()
    init: Host[str] = "normal"
    sizes: Static[tuple[int, ...]] = (1, 2)


PARTS = st.builds(Part, rate=st.floats(0, 1), kind=st.sampled_from(["plain", "other"]))
OUTERS = st.builds(
    Outer,
    steps=st.lists(PARTS, max_size=3).map(tuple),
    named=st.dictionaries(st.sampled_from(["a", "b", "c"]), PARTS),
    only=PARTS,
)


@given(OUTERS)
def test_every_part_of_a_list_or_mapping_has_its_leaves(outer: Outer) -> None:
    expected = {
        **{f"steps.{i}.rate": part.rate for i, part in enumerate(outer.steps)},
        **{f"named.{key}.rate": part.rate for key, part in outer.named.items()},
        "only.rate": outer.only.rate,
    }
    assert {p: v for p, mark, v in marked_leaves(outer) if mark is Mark.KNOB} == expected


@given(OUTERS)
def test_a_leaf_is_found_at_the_path_that_it_is_listed_under(outer: Outer) -> None:
    for path, _, value in marked_leaves(outer):
        assert has_leaf(outer, path)
        assert leaf_at(outer, path) is value


@given(OUTERS, st.data())
def test_replaced_leaves_are_there_and_all_others_stay(outer: Outer, data: Any) -> None:
    leaves = {path: value for path, _, value in marked_leaves(outer)}
    paths = data.draw(st.sets(st.sampled_from(sorted(leaves))))
    changes = {path: f"new {path}" for path in paths}

    changed = with_leaves(outer, changes)

    assert {path: value for path, _, value in marked_leaves(changed)} == leaves | changes
    assert type(changed.steps) is tuple
    assert changed.seed == outer.seed
    assert with_leaves(changed, {path: leaves[path] for path in paths}) == outer


@pytest.mark.parametrize("path", ["steps.2.rate", "steps.x", "named.b.rate", "other", "only.x"])
def test_there_is_no_leaf_beyond_the_parts(path: str) -> None:
    outer = Outer(steps=(Part(), Part()), named={"a": Part()})
    assert not has_leaf(outer, path)


def training(**model: Any) -> Training:
    return Training.model_validate(
        {
            "data": {"dataset": "iris"},
            "model": {"name": "mlp", **model},
            "optimizer": {"name": "sgd"},
            "train": {"epochs": 1},
        }
    )


def test_the_marks_say_what_programs_merge_inner_parts_first() -> None:
    assert mergeable() == {
        "batch_size": "data.batch_size",
        "widths": "model.widths",
        "dense": "model.dense",
        "activation": "model.activation",
        "schedule": "optimizer.schedule",
        "optimizer": "optimizer",
    }
    assert mergeable().keys() | {"bounds", "widest"} == Merged.model_fields.keys()
    assert size_paths() == {"model.widths", "model.dense"}


def test_a_leaf_merges_as_its_mark_says() -> None:
    found = {path: how_merged(training(), path) for path in mergeable().values()}
    assert found == {
        "data.batch_size": Merge.ROWS,
        "model.widths": Merge.SIZE,
        "model.dense": None,
        "model.activation": Merge.BRANCH,
        "optimizer.schedule": Merge.BRANCH,
        "optimizer": Merge.BRANCH,
    }


def test_a_model_that_does_not_mark_its_widths_is_not_merged_by_them() -> None:
    class Own(Spec):
        name: str = "own"
        widths: Static[tuple[int, ...]] = (8,)

    assert how_merged(with_leaves(training(), {"model": Own()}), "model.widths") is None


def test_values_that_a_program_serves_are_no_leaves_of_the_training() -> None:
    plain = training()
    merged = with_leaves(
        plain, {"train.merged": Merged.model_validate({"optimizer": [{"name": "sgd"}]})}
    )
    assert list(marked_leaves(merged)) == list(marked_leaves(plain))
