"""A first spec that says what a file of another tool says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo.data.overview.formats.sample import Sample
from hpo.data.overview.look import table_overview
from hpo.report.init.budget import budget_for, written_budget
from hpo.report.init.draft import draft
from hpo.report.init.translated import config_draft, sweep_draft
from hpo.spec.file.document import parse_yaml
from hpo.spec.foreign.translation import Translation
from hpo.spec.load import load_document

RNG = np.random.default_rng(0)


def test_a_config_changes_what_it_says_and_leaves_the_rest():
    frame = pd.DataFrame({"a": RNG.normal(size=60), "b": RNG.integers(1, 4, 60), "c": 1.5})
    frame["y"] = ["u", "v"] * 30
    seen = table_overview(Sample(frame, 60, True, {"csv": "t.csv"}), "t.csv")
    base = draft(seen, budget_for(seen, "quick", None, 2, has_model=True), 2, "t.yaml")
    found = Translation(
        document={"train": {"epochs": 5}, "space": {"model.dropout": {"float": [0.0, 0.2]}}},
        lost=["backend: has no place in a spec"],
        targets=["y"],
        features=["b"],
        types={"b": {"type": "category"}},
    )

    made = config_draft(base, seen, found, "ludwig.yaml")
    experiment = load_document(parse_yaml(made.text, "t.yaml").values, Path())

    data = experiment.training.data
    assert set(data.dataset.drop) == {"a", "c"}
    assert data.columns.by_name["b"].type == "category"
    assert experiment.training.train.epochs == 5
    assert [*experiment.space.by_path] == ["model.dropout"]
    assert "# - backend: has no place in a spec" in made.text
    assert experiment.training.optimizer.name == "adamw"


def test_a_config_says_how_large_the_search_is():
    frame = pd.DataFrame({"a": RNG.normal(size=60), "y": ["u", "v"] * 30})
    seen = table_overview(Sample(frame, 60, True, {"csv": "t.csv"}), "t.csv")
    guess = budget_for(seen, "quick", None, 2, has_model=True)
    found = Translation(
        document={
            "train": {"epochs": 3 * guess.epochs},
            "search": {"trials": 2 * guess.trials, "objective": {"maximize": "accuracy"}},
            "data": {"validation": 0.1, "test": 0.2},
        },
        targets=["y"],
        features=["a"],
    )

    made = config_draft(draft(seen, guess, 2, "t.yaml"), seen, found, "ludwig.yaml")
    load_document(parse_yaml(made.text, "t.yaml").values, Path())
    written = written_budget(guess, made.document)

    assert guess.folds == 5
    assert (written.trials, written.epochs, written.folds) == (2 * guess.trials, 81, None)
    assert written.seconds - 12 == pytest.approx((guess.seconds - 12) * 2 * 3 / 5)
    assert "columns" not in made.document["data"]
    assert "about" not in made.text.partition("search:")[2]


def test_a_sweep_is_written_in_the_order_of_a_spec():
    found = Translation(
        {
            "space": {"lr": {"float": [0.1, 1.0]}},
            "train": {"epochs": 3},
            "search": {"objective": {"minimize": "loss"}, "trials": 4},
            "name": "s",
            "command": {"run": ["python", "x.py", "--lr={lr}"]},
        },
        comments={"search.trials": "a guess"},
    )
    text = sweep_draft(found, "sweep.yaml", "s.yaml").text
    assert [*parse_yaml(text, "s").values] == ["name", "command", "train", "space", "search"]
    assert "trials: 4  # a guess" in text
