"""Whole studies on the real engine: what a search promises from its spec to its last row."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sklearn.ensemble import RandomForestClassifier

from hpo.data.load import load_data
from hpo.errors import HpoError, StudyError
from hpo.report.check import check_summary
from hpo.search.proposals import remaining
from hpo.study.backends import lanes
from hpo.study.progress import states_of
from hpo.trial import TrialState
from tests.study.whole import DOCUMENT, Studies, an_experiment


def test_a_study_learns_the_same_with_one_lane_as_with_eight(
    many: Callable[[str], Studies],
) -> None:
    one, eight = many("one"), many("eight")
    one.run(an_experiment("train.lanes=1"))
    eight.run(an_experiment("train.lanes=8"))
    assert one.curves(an_experiment()) == eight.curves(an_experiment())


def test_a_study_that_a_rule_has_stopped_says_so_and_goes_on_when_the_rule_changes(
    studies: Studies, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[float] = []
    counters = [lambda: used.append(3.0) or 3.0]
    monkeypatch.setattr(lanes, "energy_counters", lambda *_: counters)
    goal = (
        "search.objective=[{maximize: accuracy}, {minimize: latency_ms}]",
        "search.constraints=[{metric: parameters, at_most: 1000}]",
    )
    first = studies.run(an_experiment(*goal, "search.stop.epochs=6"))
    assert first.reason == "epochs"
    trained = studies.state(an_experiment(*goal)).epochs
    assert trained >= 6
    counts = states_of(studies.state(an_experiment(*goal)))
    assert first.progress.states == counts
    assert TrialState.RUNNING not in counts
    again = studies.run(an_experiment(*goal, "search.stop.epochs=6"))
    assert again.reason == "epochs"
    assert f"Resuming: {sum(counts.values())} of 8 trials started." in studies.said
    assert "search.stop.epochs" in studies.said[-1]
    assert studies.state(an_experiment(*goal)).epochs == trained

    assert studies.run(an_experiment(*goal)).reason == "finished"
    state = studies.state(an_experiment(*goal))
    assert len(state) == 8
    for trial in state.trials:
        costs = state.costs[trial.number]
        assert costs["parameters"] == (4 + 1) * 8 + (8 + 1) * 3
        assert costs["train_seconds"] > 0
        assert costs["energy_joules"] > 0
        # Without onnxruntime, JAX measures it after a trial's last epoch.
        is_measured = bool(find_spec("onnxruntime")) or trial.state is TrialState.COMPLETE
        assert ("latency_ms" in costs) == is_measured
        if trial.values:
            assert trial.values == (trial.losses[-1], costs["latency_ms"])

    whole = sum(costs["energy_joules"] for costs in state.costs.values())
    assert 0 < whole <= sum(used)

    learning = {"sampler": {"name": "tpe", "startup_trials": 2}, "from": ["flowers"], "trials": 3}
    learning = {**DOCUMENT["search"], **learning}
    studies.run(an_experiment(*goal, "name=more", search=learning))
    full = sum(bool(trial.values) for trial in state.trials)
    (said,) = [said for said in studies.said if said.startswith("From flowers: ")]
    assert said.endswith(f"and {full} results for the sampler.")


@pytest.mark.parametrize(
    "sparsity", [{}, {"name": "magnitude", "share": 0.5, "end": 0.5}], ids=["dense", "sparse"]
)
def test_the_bytes_of_a_trial_are_those_of_its_trained_folder(
    studies: Studies, tmp_path: Path, sparsity: dict[str, Any]
) -> None:
    weights = {"name": "integer", "bits": 4}
    parts: dict[str, Any] = {
        "compression": {"weights": weights, "sparsity": sparsity},
        "train": {"epochs": 2},
        "space": {"compression.weights.bits": {"choice": [2, 3, 8]}},
        "search": {
            "sampler": {"name": "grid"},
            "scheduler": {"name": "none"},
            "trials": 3,
            "objective": [{"maximize": "accuracy"}, {"minimize": "model_bytes"}],
            "constraints": [{"metric": "model_bytes", "at_most": 90}],
            "baselines": False,
        },
    }
    experiment = an_experiment(**parts)
    studies.run(experiment)
    state = studies.state(experiment)
    found = {trial.hparams["compression.weights.bits"]: trial for trial in state.trials}
    # 56 weights between units with two scales, and 11 biases.
    dense = {bits: 56 * bits // 8 + 2 * 4 + 11 * 4 for bits in (2, 3, 8)}
    if sparsity:
        assert {trial.state for trial in found.values()} == {TrialState.COMPLETE}
    else:
        assert {
            bits: state.costs[one.number]["model_bytes"] for bits, one in found.items()
        } == dense
        assert found[8].state is TrialState.INFEASIBLE
    for bits in (2, 3):
        leaves = f"compression.weights.bits={bits}", f"train.stream={found[bits].number}"
        studies.train(an_experiment(*leaves, **{**parts, "space": {}}), tmp_path / f"model{bits}")
        size = (tmp_path / f"model{bits}" / "weights" / "packed.bin").stat().st_size
        assert size == state.costs[found[bits].number]["model_bytes"]
        assert found[bits].values[1] == size


def test_no_more_programs_are_compiled_than_were_announced(
    studies: Studies, tmp_path: Path
) -> None:
    space = {
        **DOCUMENT["space"],
        "model.widths": {"choice": [[8], [4, 4]]},
        "optimizer.clip_norm": {"choice": [None, 0.5, 1.0]},
    }
    experiment = an_experiment(
        "search.trials=12",
        "train.epochs=1",
        "train.merged=none",
        "search.scheduler.name=none",
        space=space,
    )
    outcome = studies.run(experiment, cache=tmp_path / "fresh")
    announced = check_summary(experiment).programs
    assert announced == 4
    assert 1 < outcome.progress.programs <= announced


# Each holds 0, or the number without which its technique is off.
TECHNIQUES = {
    "model.dropout": [0.0, 0.5],
    "loss.smoothing": [0.0, 0.2],
    "augment.gaussian_noise": [0.0, 0.2],
    "augment.column_dropout": [0.0, 0.3],
    "augment.same_class": [0.0, 0.5],
    "updates.noise": [0.0, 0.1],
    "updates.weight_noise": [0.0, 0.1],
    "updates.sam_radius": [0.0, 0.2],
    "updates.l1": [0.0, 0.01],
    "updates.clip_norm": [0.1, 10.0],
    "updates.clip_adaptive": [0.001, 0.3],
    "updates.max_norm": [0.5, 10.0],
    "train.average.decay": [0.5, 0.99],
}


def test_a_space_over_twelve_numbers_of_techniques_at_once_compiles_one_program(
    studies: Studies, tmp_path: Path
) -> None:
    experiment = an_experiment(
        "search.trials=6",
        "train.epochs=1",
        "train.average={name: ema}",
        "loss={name: cross_entropy}",
        "search.scheduler.name=none",
        space={path: {"float": bounds} for path, bounds in TECHNIQUES.items()},
    )
    outcome = studies.run(experiment, cache=tmp_path / "fresh")
    assert len(experiment.space) > 12
    assert (outcome.progress.programs, check_summary(experiment).programs) == (1, 1)
    assert outcome.progress.states == {TrialState.COMPLETE: 6}


def test_a_second_study_of_the_same_programs_compiles_nothing(
    studies: Studies, tmp_path: Path
) -> None:
    studies.run(an_experiment(), cache=tmp_path / "fresh")
    again = studies.run(an_experiment("name=again", "train.seed=5"), cache=tmp_path / "fresh")
    assert again.progress.programs == 0


def test_a_search_with_bohb_ends_with_a_winner(studies: Studies) -> None:
    search = {
        **DOCUMENT["search"],
        "sampler": {"name": "tpe"},
        "scheduler": {"name": "bohb", "eta": 2, "random_share": 0.0},
        "trials": 12,
    }
    outcome = studies.run(an_experiment(search=search))
    assert sum(outcome.progress.states.values()) == 12
    assert outcome.progress.best is not None


@pytest.mark.parametrize("sampler", ["tpe", "grid", "forest"])
@pytest.mark.parametrize("scheduler", ["none", "median", "asha", "hyperband"])
def test_every_kind_of_search_ends_with_a_winner(
    studies: Studies, sampler: str, scheduler: str
) -> None:
    space = {"optimizer.learning_rate": {"choice": [0.001, 0.003, 0.01, 0.03, 0.1]}}
    search = {
        **DOCUMENT["search"],
        "sampler": {"name": sampler},
        "scheduler": {"name": scheduler},
        "trials": 5,
    }
    outcome = studies.run(an_experiment(space=space, search=search))
    assert sum(outcome.progress.states.values()) == 5
    assert outcome.progress.best is not None


def test_a_diverging_trial_is_a_result_of_the_study(studies: Studies) -> None:
    experiment = an_experiment(
        optimizer={"name": "sgd", "momentum": 0.0},
        space={"optimizer.learning_rate": {"choice": [0.01, 1e30]}},
        search={
            **DOCUMENT["search"],
            "sampler": {"name": "grid"},
            "scheduler": {"name": "none"},
            "trials": 2,
        },
    )
    states = {
        trial.hparams["optimizer.learning_rate"]: trial.state
        for trial in (studies.run(experiment), studies.state(experiment))[1].trials
    }
    assert states == {0.01: TrialState.COMPLETE, 1e30: TrialState.DIVERGED}


def test_a_finished_study_is_left_as_it_is(studies: Studies) -> None:
    studies.run(an_experiment())
    before = studies.curves(an_experiment())
    outcome = studies.run(an_experiment())
    assert outcome.reason == "finished"
    assert studies.curves(an_experiment()) == before


def test_a_grid_smaller_than_the_total_ends_when_it_is_used_up(studies: Studies) -> None:
    space = {"optimizer.learning_rate": {"choice": [0.001, 0.01, 0.1]}}
    search = {**DOCUMENT["search"], "sampler": {"name": "grid"}, "trials": 8}
    outcome = studies.run(an_experiment(space=space, search=search))
    assert outcome.reason == "exhausted"
    assert sum(outcome.progress.states.values()) == 3


def test_a_study_ends_and_says_so_where_rules_allow_nothing_new(
    studies: Studies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remaining, "DRAWS", 500)
    space = {
        "optimizer.name": {"choice": ["sgd", "adamw"]},
        "optimizer.momentum": {"float": [0.1, 0.9], "when": {"optimizer.name": "sgd"}},
        "forbid": ["optimizer.momentum > 0"],
    }
    search = {**DOCUMENT["search"], "sampler": {"name": "random"}, "trials": 8}
    outcome = studies.run(an_experiment(space=space, search=search))
    assert outcome.reason == "none_found"
    assert sum(outcome.progress.states.values()) == 1
    assert any(
        "none of 20,000 configurations drawn was new and kept the rules" in sentence
        for sentence in studies.said
    )


def test_more_trials_are_added_and_the_first_ones_stay(studies: Studies) -> None:
    studies.run(an_experiment())
    before = studies.curves(an_experiment())
    outcome = studies.run(an_experiment("search.trials=12"))
    assert sum(outcome.progress.states.values()) == 12
    after = studies.curves(an_experiment())
    assert [new[: len(old)] for old, new in zip(before, after, strict=False)] == before


@pytest.mark.long
def test_a_study_goes_on_in_a_space_that_has_grown(studies: Studies) -> None:
    space: dict[str, Any] = {
        "model.dropout": {"choice": [0.1, 0.2]},
        "optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True, "prior": 0.01},
        "optimizer.schedule.warmup": {"derived": "model.dropout / 2"},
        "forbid": ["model.dropout == 0.2 and optimizer.learning_rate > 0.05"],
    }
    search = {
        **DOCUMENT["search"],
        "sampler": {"name": "tpe", "startup_trials": 2},
        "trials": 6,
        "start": [{"model.dropout": 0.2}],
    }
    first = an_experiment(space=space, search=search)
    studies.run(first)
    before = studies.state(first).trials

    grown = {
        **space,
        "model.dropout": {"choice": [0.4, 0.2]},
        "optimizer.learning_rate": {"float": [1e-2, 5e-1], "log": True},
        "optimizer.weight_decay": {"float": [0.0, 0.1]},
    }
    studies.run(an_experiment(space=grown, search={**search, "trials": 12, "start": []}))

    trials = studies.state(first).trials
    assert [trial.hparams for trial in trials[:6]] == [trial.hparams for trial in before]
    # AdamW's own learning rate, because the spec gives none.
    assert before[0].hparams["model.dropout"] == 0.2
    assert before[0].hparams["optimizer.learning_rate"] == 1e-3
    assert any("Outside the present space" in said for said in studies.said)
    assert any("The spec has changed: space.model.dropout.choice" in said for said in studies.said)
    for trial in trials:
        dropout, rate = trial.hparams["model.dropout"], trial.hparams["optimizer.learning_rate"]
        assert isinstance(dropout, float)
        assert isinstance(rate, float)
        assert trial.hparams["optimizer.schedule.warmup"] == dropout / 2
        assert not (dropout == 0.2 and rate > 0.05)
    assert all("optimizer.weight_decay" in trial.hparams for trial in trials[6:])
    assert {trial.hparams["model.dropout"] for trial in trials[6:]} <= {0.2, 0.4}

    more = {**search, "from": ["flowers"], "start": [], "trials": 4}
    learning = an_experiment("name=more", space=grown, search=more)
    studies.run(learning)
    taken = [trial.hparams for trial in studies.state(learning).trials[:2]]
    finished = [trial for trial in trials if trial.epochs == 4]
    best = min(finished, key=lambda trial: (trial.losses[-1], trial.number))
    assert any(said.startswith("From flowers: ") for said in studies.said)
    assert len(taken) == 2
    if best.hparams["model.dropout"] in (0.2, 0.4):
        assert taken[0]["model.dropout"] == best.hparams["model.dropout"]


def test_writing_out_a_default_is_not_a_change(studies: Studies) -> None:
    studies.run(an_experiment())
    said = len(studies.said)
    studies.run(an_experiment("model.norm=none", "optimizer.beta1=0.9"))
    assert not any("has changed" in sentence for sentence in studies.said[said:])


@pytest.mark.parametrize(
    "override", ["train.epochs=5", "model.activation=tanh", "data.batch_size=8", "train.seed=1"]
)
def test_a_change_that_alters_results_is_refused(studies: Studies, override: str) -> None:
    studies.run(an_experiment())
    path, value = override.split("=")
    with pytest.raises(StudyError, match=rf"--new, .*{path}: .* -> .*{value}"):
        studies.run(an_experiment(override))


def test_a_changed_spec_is_accepted_before_there_are_results(studies: Studies) -> None:
    studies.run(an_experiment("search.timeout=0.000001"))
    outcome = studies.run(an_experiment("train.epochs=5"))
    assert outcome.reason == "finished"
    assert outcome.set_aside == "flowers-1"
    assert any("it starts over" in sentence for sentence in studies.said)


def test_a_study_out_of_time_starts_no_trial(studies: Studies) -> None:
    studies.run(an_experiment("search.timeout=0.000001"))
    before = studies.state(an_experiment()).trials
    outcome = studies.run(an_experiment("search.timeout=0.000001"))
    assert outcome.reason == "timeout"
    assert studies.state(an_experiment()).trials == before


def test_a_model_too_large_for_every_device_ends_only_its_own_trials(studies: Studies) -> None:
    space = {"model.widths": {"choice": [[8], [300000, 300000]]}}
    search = {**DOCUMENT["search"], "sampler": {"name": "grid"}, "scheduler": {"name": "none"}}
    experiment = an_experiment(space=space, search=search)
    outcome = studies.run(experiment)
    assert outcome.reason == "exhausted"
    assert outcome.progress.states == {TrialState.COMPLETE: 1, TrialState.DIVERGED: 1}
    assert any(re.search(r"one lane needs [\d.]+ GiB", sentence) for sentence in studies.said)


def test_a_study_goes_on_when_all_its_trials_under_way_are_given_up(studies: Studies) -> None:
    space = {
        "model.widths": {"choice": [[8], [300000, 300000]]},
        "optimizer.learning_rate": {"float": [0.01, 0.1]},
    }
    search = {
        **DOCUMENT["search"],
        "sampler": {"name": "tpe"},
        "scheduler": {"name": "none"},
        "trials": 10,
    }
    outcome = studies.run(an_experiment("train.lanes=1", space=space, search=search))
    assert sum(outcome.progress.states.values()) == 10
    assert outcome.progress.states[TrialState.DIVERGED] > 0


def test_starting_over_keeps_the_old_study(studies: Studies) -> None:
    studies.run(an_experiment())
    old = studies.curves(an_experiment())
    outcome = studies.run(an_experiment("train.seed=1"), starts_over=True)
    assert outcome.set_aside == "flowers-1"
    assert studies.curves(an_experiment()) != old
    kept = studies.state(an_experiment(), "flowers-1")
    assert [kept.metrics[number] for number in range(len(kept))] == old


def test_retrained_epochs_that_differ_from_the_stored_ones_are_reported_and_not_stored(
    studies: Studies,
) -> None:
    studies.run(an_experiment("search.stop.epochs=6"))
    database = Path(studies.url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(database)) as connection, connection:
        # As an earlier version stored them: a checksum would tell that somebody changed them.
        connection.execute("update hpo_events set checksum = null")
        query = "select seq, trial, epoch, value from hpo_events where kind = 'report'"
        rows = connection.execute(query).fetchall()
        for seq, _, _, value in rows:
            other = json.dumps({**json.loads(value), "train_loss": 7.0})
            connection.execute("update hpo_events set value = ? where seq = ?", (other, seq))
    shutil.rmtree(database.with_name(f"{database.name}.checkpoints"))

    assert studies.run(an_experiment()).reason == "finished"

    (said,) = [said for said in studies.said if "retrained" in said]
    assert re.match(r"\d+ retrained epochs? differs? from the stored results, which are kept", said)
    # Which trials have begun when the study stops depends on how the pools took turns.
    curves = studies.curves(an_experiment())
    assert {curves[trial][epoch - 1]["train_loss"] for _, trial, epoch, _ in rows} == {7.0}


def test_a_timeout_stops_the_study_and_a_longer_one_goes_on(studies: Studies) -> None:
    first = studies.run(an_experiment("search.timeout=0.001"))
    assert first.reason == "timeout"
    assert first.progress.finished < 8
    second = studies.run(an_experiment("search.timeout=1h"))
    assert second.reason == "finished"


def test_a_change_of_data_is_reported(studies: Studies, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [f"{i % 7},{i % 5},{'ab'[i % 2]}" for i in range(80)]
    data = {"dataset": {"csv": str(table), "target": "y"}, "batch_size": 8}
    table.write_text("\n".join(["x1,x2,y", *rows]))
    studies.run(an_experiment(data=data))
    table.write_text("\n".join(["x1,x2,y", *rows[1:], rows[0]]))
    studies.run(an_experiment("search.trials=10", data=data))
    assert any("The data have changed since the study began" in s for s in studies.said)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data.batch_size=5000",), "5000"),
        (("model.name=cnn",), "needs images"),
        (("search.objective.maximize=r2",), "r2 is not a metric of classification"),
        (("data.dataset.csv=nowhere.csv", "data.dataset.target=y"), "nowhere.csv"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_first_trial(
    studies: Studies, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(HpoError, match=message):
        studies.run(an_experiment(*overrides))


def test_a_batch_size_of_the_space_that_is_too_large_is_refused_before_the_first_trial(
    studies: Studies,
) -> None:
    space = {"data.batch_size": {"choice": [8, 16, 4096]}}
    with pytest.raises(HpoError, match=r"4096 is larger than the \d+ training rows"):
        studies.run(an_experiment(space=space))
    assert not (Path(studies.url.removeprefix("sqlite:///"))).exists()


@pytest.mark.long
def test_a_study_with_baselines_has_the_results_of_one_without_and_scikit_learns_scores(
    many: Callable[[str], Studies],
) -> None:
    alone, beside = many("alone"), many("beside")
    alone.run(an_experiment())
    experiment = an_experiment("search.baselines=60")
    outcome = beside.run(experiment)
    again = beside.run(experiment)

    assert beside.curves(experiment) == alone.curves(experiment)
    assert outcome.reason == again.reason == "finished"
    found = {(one.name, one.setting): one for one in outcome.baselines}
    assert len(found) >= 7
    assert again.baselines == outcome.baselines
    data = load_data(experiment.training.data, Path(), None)
    theirs = RandomForestClassifier(random_state=experiment.training.train.seed)
    theirs.fit(data.train.x, data.train.y)
    forest = found["forest", "leaves of 1"]
    assert forest.metrics["accuracy"] == pytest.approx(
        theirs.score(data.validation.x, data.validation.y)
    )
    assert forest.test["accuracy"] == pytest.approx(theirs.score(data.test.x, data.test.y))
    assert (forest.rows, forest.rows_of) == (len(data.train), len(data.train))


def test_a_constraint_bounds_the_norm_of_the_gradient_of_the_last_epoch(studies: Studies) -> None:
    bound = [{"metric": "gradient_norm", "at_most": 1e-6}]
    experiment = an_experiment(
        "train.gradient_norms=true",
        "search.trials=2",
        "search.scheduler.name=none",
        search={**DOCUMENT["search"], "scheduler": {"name": "none"}, "constraints": bound},
    )
    outcome = studies.run(experiment)
    state = studies.state(experiment)
    for trial in state.trials:
        last = state.metrics[trial.number][-1]
        assert {name for name in last if "/" in name} == {
            "gradient_norm/head",
            "gradient_norm/linears/0",
        }
        squares = last["gradient_norm/head"] ** 2 + last["gradient_norm/linears/0"] ** 2
        # Means of norms over the steps: below the norm of the means by layer only by their spread.
        assert last["gradient_norm"] == pytest.approx(squares**0.5, rel=0.2)
        assert trial.violation == pytest.approx(last["gradient_norm"] / 1e-6 - 1)
    assert outcome.progress.best is None
