"""Programs and knobs: what two trainings must have in common to share a program."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.data.dataset import DataSet
from hpo.engine.program import is_off, split
from hpo.engine.programs.lanes import operations
from hpo.engine.training.batches import host_data
from hpo.engine.training.supervised import initial_lane
from hpo.engine.training.task import task_of
from hpo.registry import MODELS, OPTIMIZERS, SCHEDULES
from hpo.spec.experiment import Training
from hpo.spec.fill import fill
from hpo.spec.load import experiment_from_document
from hpo.spec.marks import Mark, Spec, marked_leaves, with_leaves
from hpo.spec.programs import count_programs
from tests.engine.samples import a_training, tiny_data


def _trainings() -> list[Training]:
    """Every model with every optimizer; either of them with every schedule."""
    names, trainings = list(SCHEDULES), []
    for m, model in enumerate(MODELS):
        for o, optimizer in enumerate(OPTIMIZERS):
            schedule = {"name": names[(m + o) % len(names)]}
            parts = {"name": optimizer, "schedule": schedule}
            trainings.append(a_training(model={"name": model}, optimizer=parts))
    return trainings


_TRAININGS = _trainings()
_DATA = tiny_data()


def _of(model: str) -> list[Training]:
    return [training for training in _TRAININGS if training.model.name == model]


def _leaves(training: Spec, mark: Mark) -> dict[str, Any]:
    return {path: value for path, found, value in marked_leaves(training) if found is mark}


def _program(training: Training, **split_kwargs: Any) -> Any:
    return split(training, _DATA, "cpu", **split_kwargs)[0]


def _other(value: Any) -> Any:
    """A value of a leaf that differs from this one."""
    return {bool: lambda: not value, int: lambda: value + 1, tuple: lambda: (*value, 3)}.get(
        type(value), lambda: f"not {value}"
    )()


@pytest.mark.parametrize("model", MODELS)
def test_trainings_that_differ_in_plain_numbers_share_a_program(model: str) -> None:
    for training in _of(model):
        knobs = _leaves(training, Mark.KNOB)
        one, other = (
            with_leaves(training, {path: number for path in knobs if knobs[path] is not None})
            for number in (0.25, 0.5)
        )
        assert _program(one) == _program(other), training
        assert hash(_program(one)) == hash(_program(other))


@pytest.mark.parametrize("model", MODELS)
def test_another_value_of_any_static_leaf_is_another_program(model: str) -> None:
    for training in _of(model):
        leaves = _leaves(training, Mark.STATIC)
        others = (with_leaves(training, {path: _other(v)}) for path, v in leaves.items())
        assert len({_program(training), *map(_program, others)}) == len(leaves) + 1, training


@pytest.mark.parametrize("model", MODELS)
def test_values_read_on_the_host_alone_do_not_shape_the_program(model: str) -> None:
    for training in _of(model):
        # A share of the rows gives each trial an epoch of its own length, whatever the share.
        drawn = with_leaves(training, {"sampling.share": 0.5})
        program, leaves = _program(drawn), _leaves(drawn, Mark.HOST)
        assert leaves
        for path, value in leaves.items():
            assert _program(with_leaves(drawn, {path: _other(value)})) == program, training


def test_seed_stream_lanes_and_epochs_do_not_shape_the_program() -> None:
    other = a_training(train={"epochs": 9, "seed": 5, "stream": 7, "lanes": 3})
    assert _program(other) == _program(a_training())


def test_every_other_variant_is_another_program() -> None:
    assert len({_program(training) for training in _TRAININGS}) == len(_TRAININGS)


def test_a_nullable_knob_that_is_none_is_another_program() -> None:
    without, with_clipping = a_training(), a_training(optimizer__clip_norm=1.0)
    assert _program(without) != _program(with_clipping)
    assert "optimizer.clip_norm" not in _program(without).knobs
    assert "optimizer.clip_norm" in _program(with_clipping).knobs


def test_a_nullable_knob_that_is_none_stays_none_even_where_it_varies() -> None:
    program = _program(a_training(), varying={"optimizer.clip_norm"})
    assert program.template.optimizer.clip_norm is None


def test_a_zero_outside_the_space_is_left_out_of_the_program() -> None:
    program = _program(a_training(model__dropout=0.0))
    assert "model.dropout" not in program.knobs
    assert is_off(program.template.model.dropout)


def test_a_zero_that_the_space_varies_is_a_number_of_the_program() -> None:
    varying = {"model.dropout"}
    program = _program(a_training(model__dropout=0.0), varying=varying)
    assert "model.dropout" in program.knobs
    assert not is_off(program.template.model.dropout)
    assert program == _program(a_training(model__dropout=0.3), varying=varying)


def test_another_platform_or_another_shape_of_data_is_another_program(images: DataSet) -> None:
    training = a_training()
    programs = {
        split(training, data, platform)[0]
        for data in (_DATA, images)
        for platform in ("cpu", "gpu")
    }
    assert len(programs) == 4


@pytest.mark.parametrize(
    ("rows", "batch_size", "steps"), [(96, 16, 6), (96, 40, 2), (96, 96, 1), (96, 50, 1)]
)
def test_an_epoch_has_a_step_for_each_whole_batch(rows: int, batch_size: int, steps: int) -> None:
    assert len(_DATA.train) == rows
    assert _program(a_training(data__batch_size=batch_size)).steps(batch_size) == steps


@settings(deadline=None)
@given(data=st.data(), training=st.sampled_from(_TRAININGS))
def test_fill_puts_every_knob_back_in_its_place(data: Any, training: Training) -> None:
    # Halves and quarters are exact in float32, so that equality is exact too.
    number = st.integers(1, 1000).map(lambda n: n / 4)
    paths = [*_leaves(training, Mark.KNOB), "train.epochs"]
    given_ = {path: data.draw(number, label=path) for path in paths}
    training = with_leaves(training, given_)
    program, knobs = split(training, _DATA, "cpu")
    filled = program.fill(knobs)
    assert knobs.dtype == np.float32
    for mark in (Mark.KNOB, Mark.STATIC):
        assert _leaves(filled, mark) == _leaves(training, mark)
    assert filled.optimizer.name == training.optimizer.name
    assert filled.optimizer.schedule == training.optimizer.schedule
    assert filled.train.epochs == training.train.epochs
    assert filled.model.name == training.model.name


_PRINT_LABEL = """
from hpo.engine.program import split
from tests.engine.samples import a_training, tiny_data
print(split(a_training(), tiny_data(), "cpu")[0].label)
"""


@pytest.mark.long
def test_a_label_is_the_same_in_every_process() -> None:
    root = Path(__file__).parents[2]
    labels = [
        subprocess.run(
            [sys.executable, "-c", _PRINT_LABEL],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert labels == [_program(a_training()).label] * 2


def test_programs_have_labels_of_their_own() -> None:
    assert len({_program(training).label for training in _TRAININGS}) == len(_TRAININGS)


@pytest.mark.parametrize(
    ("space", "count"),
    [
        ({"optimizer.learning_rate": [0.001, 0.01], "model.dropout": [0.0, 0.1]}, 1),
        ({"data.batch_size": [16, 32], "model.activation": ["relu", "tanh"]}, 4),
        ({"model.init": ["he_normal", "orthogonal"], "model.norm": ["none", "batch"]}, 2),
        ({"optimizer.clip_norm": [None, 1.0, 2.0]}, 2),
        ({"optimizer.name": ["sgd", "adam"], "optimizer.weight_decay": [0.0, 0.1]}, 2),
        ({"optimizer.name": ["sgd", "adam"], "optimizer.nesterov": [True, False]}, 3),
        ({"model": [{"name": "mlp"}, {"name": "mlp", "widths": [8]}, {"name": "fourier"}]}, 3),
    ],
)
def test_as_many_programs_are_compiled_as_the_check_counts(
    space: dict[str, Any], count: int
) -> None:
    conditions = {"optimizer.nesterov": {"optimizer.name": "sgd"}}
    document = {
        "name": "counted",
        "data": {"dataset": "iris"},
        "model": {"name": "mlp"},
        "optimizer": {"name": "adamw"},
        "train": {"epochs": 1},
        "search": {"objective": {"minimize": "loss"}, "trials": 1},
        "space": {
            path: {"choice": values} | ({"when": conditions[path]} if path in conditions else {})
            for path, values in space.items()
        },
    }
    experiment = experiment_from_document(document, Path())
    rng = np.random.default_rng(0)
    # Sixty draws of at most six combinations: the chance to miss one is below 1e-4.
    drawn = [experiment.space.draw(rng) for _ in range(60)]
    programs = {
        _program(fill(experiment.training, hparams, 0), varying=set(experiment.space.by_path))
        for hparams in drawn
    }
    assert len(programs) == count_programs(experiment) == count


def test_no_learning_rate_is_a_constant_of_the_compiled_code() -> None:
    rates, texts = (0.012345, 0.023456), []
    for rate in rates:
        training = a_training(
            optimizer={
                "name": "adamw",
                "learning_rate": rate,
                "schedule": {"name": "cosine", "warmup": 10 * rate, "final": rate},
            }
        )
        program, _ = split(training, _DATA, "cpu")
        lane = initial_lane(program, training)
        operation = operations(task_of(program), "map", 2, host_data(_DATA, is_whole=False), lane)[
            "round"
        ]
        texts.append(jax.jit(operation.function).lower(*operation.arguments).as_text())
    assert texts[0] == texts[1]
    constants = {float(number) for number in re.findall(r"dense<(-?\d[\d.e+-]*)>", texts[0])}
    assert any(math.isclose(c, 0.5) for c in constants)  # the half of the cosine: they are found
    assert not any(math.isclose(c, rate, rel_tol=1e-3) for c in constants for rate in rates)


def test_changes_of_knobs_do_not_change_a_program(tiny: DataSet) -> None:
    changes = [{"after": 1, "hparams": {"optimizer.learning_rate": 0.1}}]
    assert (
        split(a_training(train__changes=changes), tiny, "cpu")[0]
        == split(a_training(), tiny, "cpu")[0]
    )
