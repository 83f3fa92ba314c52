"""A first spec is valid YAML, with a comment for each guess."""

import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpo.data.overview.formats.sample import Sample
from hpo.data.overview.look import table_overview
from hpo.data.overview.overview import Overview, Target
from hpo.report.init.budget import budget_for
from hpo.report.init.draft import draft, metric_of, study_name
from hpo.spec.file.document import parse_yaml
from hpo.spec.load import load_document

FOLDER = Path()


def made(seen: Overview):
    return draft(seen, budget_for(seen, "quick", None, 2), 2, "t.yaml")


def overview(*names: str) -> Overview:
    cells = {name: [n % (place + 2) for n in range(40)] for place, name in enumerate(names)}
    frame = pd.DataFrame(cells)
    return table_overview(Sample(frame, 40, True, {"csv": "t.csv"}), "t.csv", [names[-1]])


@pytest.mark.parametrize(
    ("classes", "metric"),
    [
        ({"a": 60, "b": 40}, "accuracy"),
        ({"a": 70, "b": 30}, "auroc"),
        ({"a": 60, "b": 40, "c": 30}, "accuracy"),
        ({"a": 60, "b": 40, "c": 3}, "macro_f1"),
    ],
)
def test_the_metric_of_uneven_classes_is_not_accuracy(classes, metric):
    assert metric_of(Target(("y",), "classification", "", "", classes))[0] == metric


def test_a_spec_is_valid_and_explains_its_guesses():
    text = made(overview("a", "b", "y")).text
    experiment = load_document(parse_yaml(text, "t.yaml").values, FOLDER)

    assert experiment.training.data.dataset.target == "y"
    assert re.search(r"target: y  # \S", text)
    assert re.search(r"task: classification  # .*; else regression", text)
    assert re.search(r"accuracy\}  # .*; others: auroc, macro_f1, log_loss\n", text)
    assert "# Next:  hpo check t.yaml  then  hpo search t.yaml" in text


@pytest.mark.parametrize(
    ("timeout", "written"),
    [(45.0, "45s"), (90.0, "90s"), (300.0, "5m"), (5400.0, "90m"), (7200.0, "2h"), (61.5, "61.5s")],
)
def test_a_spec_has_the_very_timeout_that_is_asked_for(timeout, written):
    seen = overview("a", "b", "y")
    spec = draft(seen, budget_for(seen, "quick", timeout, 2), 2, "t.yaml").document
    assert spec["search"]["timeout"] == written
    assert load_document(spec, FOLDER).search.timeout == timeout


# Text as a header of a CSV file may have it: what UTF-8 can write, and no blank name.
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda name: bool(name.strip())
)


@settings(max_examples=60)
@given(st.lists(NAMES, min_size=3, max_size=4, unique=True))
@example(["# no", "a: b", "{x}"])
@example(["\x1b[31mred\x07", "two\nlines", "null"])
@example(["- a", "1.5", "'\"\\"])
@example(["yes", "\ufeffbom", "\u2028"])
@example(["\uffff", "\ufffe", "y"])  # no characters, which YAML refuses even in comments
@example(["user.id", "day", "a" * 20])
def test_a_column_of_any_name_is_the_same_in_the_written_spec(names):
    seen = overview(*names)
    experiment = load_document(parse_yaml(made(seen).text, "t.yaml").values, FOLDER)
    dataset = experiment.training.data.dataset

    assert dataset.target == names[-1]
    assert set(dataset.drop) <= {*names}
    assert {*experiment.training.data.columns.by_name} <= {*names}


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
@settings(max_examples=30)
def test_a_column_that_is_left_out_or_treated_keeps_its_name(names):
    frame = pd.DataFrame({names[0]: ["k"] * 40, names[1]: ["yes", "no"] * 20, "Y ": range(40)})
    frame["Z "] = [n * n % 37 for n in range(40)]
    seen = table_overview(Sample(frame, 40, True, {"csv": "t.csv"}), "t.csv", ["Z "])
    data = load_document(parse_yaml(made(seen).text, "t.yaml").values, FOLDER).training.data

    assert names[0] in data.dataset.drop
    assert data.columns.by_name[names[1]].type == "boolean"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("houses.csv", "houses"),
        ("houses.csv.gz", "houses"),
        ("my data (2).tsv", "my-data-2"),
        ("数据.csv", "study"),
        ("v1.2", "v1.2"),
    ],
)
def test_a_study_is_named_after_its_file(file, name):
    assert study_name(file) == name


def test_images_with_masks_get_a_unet():
    target = Target(("mask",), "segmentation", "", "", {"0": 9_000, "1": 6_360})
    seen = Overview(
        "m.npz", {"npz": "m.npz"}, 60, 60, True, target, shape=(16, 16, 1), features=256
    )
    made = draft(seen, budget_for(seen, "good", None, 2), 2, "m.yaml")
    found = load_document(parse_yaml(made.text, "m.yaml").values, Path())
    assert (found.training.model.name, found.training.data.folds) == ("unet", None)
    assert found.search.goal.first.metric == "iou"
    assert "model.filters" in found.space.by_path
    short = draft(seen, budget_for(seen, "good", 20.0, 2), 2, "m.yaml")
    assert "model.filters" not in short.document["space"]  # one program takes half of the time
