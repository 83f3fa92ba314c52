"""What `hpo ensemble` shows."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from hpo.report.models.ensemble import as_json, ensemble_view
from hpo.trained.ensembles.write import Ensembled

MADE = Ensembled(
    "digits",
    {16: 0.75, 13: 0.25},
    {
        "trial 16": {"validation": {"loss": 0.25}, "test": None},
        "greedy": {"validation": {"loss": 0.125}, "test": None},
    },
    "greedy",
    seconds=2.5,
)


def test_the_ensemble_stands_beside_the_winner_with_the_shares_of_its_trials() -> None:
    assert lines(MADE) == [
        "digits  ensemble of 2 trials in 2.5 s",
        "            validation loss",
        "  trial 16           0.2500",
        "  greedy             0.1250",
        "  greedy  trial 16 75%, trial 13 25%",
        "",
        "  model/ holds the greedy ensemble: hpo predict model new.csv",
    ]


def lines(made: Ensembled) -> list[str]:
    out = StringIO()
    Console(file=out, width=80).print(ensemble_view(made, Path("model")))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_trials_without_a_share_are_counted_alone() -> None:
    shown = lines(replace(MADE, shares={16: 0.75, 2: 0.0, 13: 0.25, 9: 0.0}))
    assert shown[0] == "digits  ensemble of 2 of 4 trials in 2.5 s"
    assert shown[-3] == "  greedy  trial 16 75%, trial 13 25%"


def test_a_soup_is_called_one() -> None:
    compared = {"trial 16": MADE.compared["trial 16"], "greedy soup": MADE.compared["greedy"]}
    shown = lines(replace(MADE, compared=compared, kept="greedy soup"))
    assert shown[0] == "digits  soup of 2 trials in 2.5 s"
    assert shown[-1] == "  model/ holds the greedy soup: hpo predict model new.csv"


def test_programs_get_the_same_numbers() -> None:
    found = as_json(replace(MADE, shares={16: 0.75, 2: 0.0, 13: 0.25}), Path("model"))
    assert found["shares"] == {"16": 0.75, "13": 0.25}
    assert found["tried"] == 3
    assert found["compared"]["greedy"]["validation"] == {"loss": 0.125}
