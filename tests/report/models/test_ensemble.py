"""What `hpo ensemble` shows."""

from __future__ import annotations

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
    out = StringIO()
    Console(file=out, width=80).print(ensemble_view(MADE, Path("model")))
    assert [line.rstrip() for line in out.getvalue().splitlines()] == [
        "digits  ensemble of 2 trials in 2.5 s",
        "            validation loss",
        "  trial 16           0.2500",
        "  greedy             0.1250",
        "  greedy  trial 16 75%, trial 13 25%",
        "",
        "  model/ holds the greedy ensemble: hpo predict model new.csv",
    ]


def test_programs_get_the_same_numbers() -> None:
    found = as_json(MADE, Path("model"))
    assert found["shares"] == {"16": 0.75, "13": 0.25}
    assert found["compared"]["greedy"]["validation"] == {"loss": 0.125}
