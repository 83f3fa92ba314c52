"""The benchmarks: both sides search the same space."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from benchmarks import techniques
from hpo.registry import OPTIMIZERS
from hpo.spec.load import load_experiment
from hpo.techniques import TECHNIQUES
from tests.checkout import ROOT

BENCHMARKS = ROOT / "benchmarks"
# A peer names a shape by its parts.
WHOLE = {"width": "model.widths", "depth": "model.widths"}


class Suggested:
    """Stands for a trial of Optuna: takes each range's low end, each list's last value."""

    def __init__(self) -> None:
        self.ranges: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
        self.ranges[name] = (low, high, log)
        return low

    def suggest_int(self, name: str, low: int, high: int) -> int:
        self.ranges[name] = tuple(range(low, high + 1))
        return high

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        self.ranges[name] = tuple(choices)
        return choices[-1]


@pytest.mark.parametrize(
    "job",
    ["fixed_mlp", "mixed_mlp", "fashion_cnn", "fashion_resnet", "series_lstm", "sst2_transformer"],
)
def test_a_peer_searches_the_space_of_the_spec(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    jobs = __import__("jobs")
    trial, experiment = Suggested(), load_experiment(BENCHMARKS / f"{job}.yaml")
    jobs.JOBS[job](trial)
    sys.modules.pop("jobs")

    ours = experiment.space.by_path
    short = {path.rpartition(".")[2]: path for path in ours} | {"optimizer": "optimizer.name"}
    assert {WHOLE.get(name) or short[name] for name in trial.ranges} == set(ours)
    for name, found in trial.ranges.items():
        if name not in WHOLE:
            distribution = ours[short[name]].distribution
            if hasattr(distribution, "values"):
                assert found == distribution.values
            else:
                assert found == (distribution.low, distribution.high, distribution.log)
    if "width" in trial.ranges:
        widths = {
            (width,) * depth for width in trial.ranges["width"] for depth in trial.ranges["depth"]
        }
        assert {tuple(value) for value in ours["model.widths"].distribution.values} == widths


@pytest.mark.long
def test_own_tasks_are_compared_with_their_authors_loops() -> None:
    words = "-m benchmarks.own_tasks --tasks descent --lanes 2 --seconds 0.2"
    done = subprocess.run(
        [sys.executable, *words.split()], cwd=ROOT, check=True, capture_output=True, text=True
    )

    rows = json.loads(done.stdout)
    assert [(row["task"], row["form"]) for row in rows] == [("descent", "map"), ("descent", "vmap")]
    assert all(row["ratio"] == row["hpo"] / row["author"] > 0 for row in rows)


def test_an_n_gram_model_gives_chances_and_counts_what_it_saw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    text = [0, 1, 2, 0, 1, 3, 0, 1, 2, 2, 0]
    model = __import__("ngrams").KneserNey(text, order=3, vocabulary=5)
    for context in ([], [0], [0, 1], [4, 1], [2, 0, 1], [4, 4]):
        assert sum(model.probability(token, context) for token in range(5)) == pytest.approx(1)
    # By hand. Of unigrams: 2 follows two tokens, of six pairs; four tokens follow any.
    one = (2 - 1 / 3) / 6 + 1 / 3 * 4 / 6 * 1 / 5
    two = (1 - 1 / 2) / 2 + 1 / 2 * 2 / 2 * one
    three = (2 - 7 / 9) / 3 + 7 / 9 * 2 / 3 * two
    assert model.probability(2, [4, 0, 1]) == pytest.approx(three)
    assert model.bits([0, 1, 2]) == pytest.approx(-math.log2(model.probability(1, [0]) * three))


def test_the_difference_on_tables_is_a_paired_mean_with_its_interval() -> None:
    from benchmarks.tables import difference, table_text

    rows = [
        {"hpo": {"test": ours, "seconds": 9.0}, "boosting": {"test": theirs}}
        for ours, theirs in ((3.0, 4.0), (3.0, 3.0), (2.0, 4.0))
    ]
    # Gains of 1, 0 and 2: mean 1, deviation 1; Student's 97.5 % of 2 degrees is 4.3027.
    assert difference(rows, "rmse") == pytest.approx((1.0, 4.302653 / 3**0.5))
    assert difference(rows, "auroc")[0] == -1.0
    assert "At or above boosting on 1 of 1 tables." in table_text({"housing": rows})
    assert "±" in table_text({"housing": rows})
    assert "±" not in table_text({"housing": rows[:1]})


def test_the_cost_of_every_technique_that_a_step_sees_is_measured() -> None:
    measured = {name for model in techniques.MODELS for name, _ in techniques.leaves_of(model)}
    # Of tables, series and images of three colours.
    other_data = {"table", "series", "colours"}
    of_others = {name for name, line in TECHNIQUES.items() if other_data & {*line.needs}}
    left_out = of_others | techniques.NOT_IN_STEPS | techniques.NAME_LAYERS | techniques.NEED_FILES
    assert measured & left_out == set()
    assert measured | left_out == {*TECHNIQUES, *OPTIMIZERS} - {"adamw"}
