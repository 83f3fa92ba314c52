"""The choice of the leaves that a study merges, from the spec, the space and costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.engine.models.sizes import Size
from hpo.engine.program import split
from hpo.engine.programs.costs import COMPILING_CORES, Costs
from hpo.engine.programs.merging import Decision, Estimate, decide, estimated_seconds
from hpo.spec.fill import fill
from hpo.spec.load import experiment_from_document
from hpo.spec.merging import NOTHING, Merging
from tests.engine.samples import a_training, tiny_data

_WIDTHS = [[8], [64], [8, 8], [64, 64]]
_SPACE: dict[str, Any] = {
    "model.widths": {"choice": _WIDTHS},
    "model.activation": {"choice": ["relu", "tanh"]},
    "data.batch_size": {"choice": [16, 32]},
    "optimizer.name": {"choice": ["adamw", "sgd"]},
    "optimizer.momentum": {"float": [0.0, 0.9], "when": {"optimizer.name": "sgd"}},
    "optimizer.learning_rate": {"float": [1e-4, 1e-1], "log": True},
}


def _experiment(space: dict[str, Any] = _SPACE, **parts: Any) -> Any:
    document = {
        "name": "merged",
        "data": {"dataset": "iris", "batch_size": 16},
        "model": {"name": "mlp", "dropout": 0.1},
        "optimizer": {"name": "adamw"},
        "train": {"epochs": 10},
        "search": {"objective": {"minimize": "loss"}, "trials": 64},
        "space": space,
    }
    return experiment_from_document({**document, **parts}, Path())


def _decision(
    experiment: Any, trials: int = 64, epochs: float = 10, pools: int = 1, **costs: Any
) -> Decision:
    return decide(
        experiment.training, experiment.space, (5,), 3, 96, trials, epochs, pools, Costs(**costs)
    )


def test_a_short_study_of_many_shapes_has_one_program() -> None:
    decision = _decision(_experiment())
    merged = decision.merging.merged
    assert set(merged.widths) == {tuple(widths) for widths in _WIDTHS}
    assert set(merged.activation) == {"relu", "tanh"}
    assert set(merged.batch_size) == {16, 32}
    assert {spec.name for spec in merged.optimizer} == {"adamw", "sgd"}
    assert decision.estimate.programs == 1
    assert decision.estimate.seconds < decision.apart.seconds
    assert "instead of" in decision.sentence()


def test_depth_and_width_as_numbers_are_merged_by_the_widest() -> None:
    space = {"model.depth": {"int": [1, 3]}, "model.width": {"int": [8, 100], "log": True}}
    experiment = _experiment({**space, "model.dropout": {"float": [0.0, 0.5]}})
    decision = _decision(experiment)
    assert decision.merging.merged.widest == (100, 100, 100)
    assert decision.merging.merged.widths == ()
    assert decision.estimate.programs == 1 < decision.apart.programs
    assert decision.sentence().startswith("Programs merge widths")
    rng = np.random.default_rng(1)
    drawn = [fill(experiment.training, experiment.space.draw(rng), n) for n in range(20)]
    merged = [decision.merging.of(training) for training in drawn]
    assert len({split(training, tiny_data(), "cpu")[0] for training in merged}) == 1
    assert Merging.from_pin(decision.merging.pin()) == decision.merging


def test_widths_that_may_move_are_merged_up_to_their_limit() -> None:
    space = {"model.width": {"int": [8, 16], "adapt": [4, 40]}}
    merged = _decision(_experiment(space, model={"name": "mlp", "depth": 2})).merging.merged
    assert merged.widest == (40, 40)


def test_a_batch_of_all_rows_is_merged_as_their_number() -> None:
    space = {**_SPACE, "data.batch_size": {"choice": [16, "all", 96]}}
    merged = _decision(_experiment(space)).merging.merged
    assert set(merged.batch_size) == {16, 96}


def test_cohorts_leave_fewer_shapes_to_compile() -> None:
    experiment = _experiment()
    alone, together = (
        decide(experiment.training, experiment.space, (5,), 3, 96, 64, 10, 1, Costs(), cohort)
        for cohort in (1, 16)
    )
    assert together.apart.programs <= 4 < alone.apart.programs
    assert together.apart.train_seconds > 0.5 * alone.apart.train_seconds


def test_two_programs_at_once_compile_no_quicker_than_the_cores_allow() -> None:
    one, two = (Estimate(programs, 10.0 * programs, 0.0, pools=2) for programs in (1, 2))
    assert two.seconds > one.seconds


def test_a_space_of_one_shape_merges_nothing() -> None:
    decision = _decision(_experiment({"optimizer.learning_rate": {"choice": [0.1, 0.01]}}))
    assert decision.merging == NOTHING
    assert decision.apart.programs == 1


def test_sizes_are_kept_apart_where_training_costs_more_than_compiling() -> None:
    short, long = (_decision(_experiment(), epochs=epochs) for epochs in (1, 1_000_000))
    assert len(short.merging.merged.widths) == 4
    assert not short.merging.merged.bounds
    assert long.merging.merged.widths == ()


def test_a_machine_that_compiles_slowly_merges_more() -> None:
    epochs = 30_000
    fast, slow = (_decision(_experiment(), epochs=epochs, compiling=c) for c in (0.01, 1000))
    assert slow.estimate.programs < fast.estimate.programs


def test_every_trial_of_the_study_finds_a_program_of_the_decision() -> None:
    experiment = _experiment()
    merging = _decision(experiment).merging
    programs = set()
    for number in range(40):
        hparams = experiment.space.draw(np.random.default_rng(number))
        training = merging.of(fill(experiment.training, hparams, number))
        programs.add(split(training, tiny_data(), "cpu", experiment.space.varying)[0])
    assert len(programs) == 1


def test_the_spec_overrides_the_decision() -> None:
    merging = _decision(_experiment()).merging
    training = fill(_experiment(train={"epochs": 1, "merged": "none"}).training, {}, 0)
    assert merging.of(training) is training


def test_a_merging_is_read_back_from_its_pin() -> None:
    merging = _decision(_experiment()).merging
    assert Merging.from_pin(json.loads(json.dumps(merging.pin()))) == merging


def test_batch_norms_keep_batch_sizes_and_depths_apart() -> None:
    decision = _decision(_experiment(model={"name": "mlp", "norm": "batch"}))
    assert decision.estimate.programs == 4  # two batch sizes, two depths


def test_no_momentum_of_a_merged_optimizer_is_off() -> None:
    # An optimizer whose momentum is off would be another program.
    for spec in _decision(_experiment()).merging.merged.optimizer:
        assert getattr(spec, "momentum", 0.5) > 0


@pytest.mark.parametrize(
    ("model", "products"),
    [
        ({"name": "rnn", "depth": 3}, 6),
        ({"name": "rnn", "bidirectional": True}, 4),
        ({"name": "transformer", "depth": 3}, 24),
        ({"name": "transformer", "depth": 3, "share_layers": True}, 24),
    ],
    ids=str,
)
def test_the_time_to_compile_a_model_of_sequences_counts_its_layers(
    model: dict[str, Any], products: int
) -> None:
    program, _ = split(a_training(model=model), tiny_data(), "cpu")
    series = replace(program, example_shape=(4, 2))
    assert estimated_seconds(series)[0] == Costs().compile_seconds(products, 0, 0) / COMPILING_CORES


def test_the_estimated_seconds_of_a_program_follow_from_unmeasured_costs() -> None:
    program, _ = split(a_training(model={"name": "mlp", "widths": [4]}), tiny_data(), "cpu")
    compiling, running = estimated_seconds(program)
    assert compiling == pytest.approx(Costs().compile_seconds(1, 0, 0) / 1.6)
    weights = 5 * 4 + 4 * 3
    assert running == Costs().step_seconds(Size(weights, weights), 16, 1)


def test_a_step_with_two_gradients_is_estimated_to_take_about_twice_as_long() -> None:
    once, twice = (
        estimated_seconds(split(a_training(updates=updates), tiny_data(), "cpu")[0])[1]
        for updates in ({"sam_radius": 0.0}, {"sam_radius": 0.05})
    )
    # The update of the weights happens once in both.
    assert 1.9 * once < twice < 2 * once


def test_a_leaf_with_too_many_values_to_list_is_not_merged() -> None:
    space = {"model.dense": {"int": [8, 512]}, "model.activation": {"choice": ["relu", "tanh"]}}
    model = {"name": "cnn", "filters": [2], "dense": 8}
    data = {"dataset": "digits", "batch_size": 16}
    experiment = _experiment(space, model=model, data=data)
    decision = decide(experiment.training, experiment.space, (8, 8, 1), 3, 96, 40, 10, 1, Costs())
    assert decision.merging.merged.dense == ()
