"""What the data, the model and streaming exclude."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.techniques import check_techniques
from hpo.engine.training.task import task_of
from hpo.errors import DeviceError, HpoError
from hpo.spec.marks import with_leaves
from tests.engine.samples import a_training


def test_tables_refuse_numbers_of_images_and_images_those_of_tables(tiny: DataSet) -> None:
    program = split(a_training(augment={"column_dropout": 0.1}), tiny, "cpu")[0]
    with pytest.raises(HpoError, match=r"augment\.column_dropout: changes rows of a table"):
        check_techniques(replace(program, example_shape=(8, 8, 1)))
    program = split(a_training(augment={"rotate": 9.0}), tiny, "cpu")[0]
    with pytest.raises(HpoError, match=r"augment\.rotate: changes images, and these .* \[5\]"):
        check_techniques(program)


def test_hues_are_for_three_colours_and_time_is_for_series(tiny: DataSet) -> None:
    hue = split(a_training(augment={"hue": 0.1}), tiny, "cpu")[0]
    check_techniques(replace(hue, example_shape=(8, 8, 3)))
    with pytest.raises(HpoError, match=r"augment\.hue: changes the three colours .* \[8, 8, 1\]"):
        check_techniques(replace(hue, example_shape=(8, 8, 1)))
    warp = split(a_training(augment={"time_warp": 0.1}), tiny, "cpu")[0]
    check_techniques(replace(warp, example_shape=(9, 2)))
    with pytest.raises(HpoError, match=r"augment\.time_warp: changes the time of series, and .*"):
        check_techniques(warp)


def test_classes_of_a_quantity_are_refused(line: DataSet) -> None:
    balanced = with_leaves(a_training(), {"sampling.name": "balanced"})
    with pytest.raises(HpoError, match=r"sampling.name: balanced needs one class for each row"):
        task_of(split(balanced, line, "cpu")[0]).shapes()


def test_tokens_are_not_attacked(tiny: DataSet) -> None:
    program = split(a_training(attack={"judge_epsilon": 0.1}), tiny, "cpu")[0]
    check_techniques(program)
    with pytest.raises(HpoError, match=r"attack\.judge_epsilon: changes numbers, and .* tokens"):
        check_techniques(replace(program, example_type="int32"))


def test_an_order_of_a_trials_own_is_refused_for_streamed_data(tiny: DataSet) -> None:
    for leaf, value in (("share", 0.5), ("name", "balanced")):
        training = with_leaves(a_training(), {f"sampling.{leaf}": value})
        program, _ = split(training, tiny, "cpu")
        check_techniques(program)
        with pytest.raises(DeviceError, match=r"sampling\..*draws .* raise data.device_budget"):
            check_techniques(program, is_streamed=True)
    check_techniques(split(a_training(), tiny, "cpu")[0], is_streamed=True)


def test_private_rows_are_neither_streamed_nor_read_by_a_model_that_keeps_statistics(
    tiny: DataSet,
) -> None:
    privacy = {"clip": 1.0, "noise": 1.0}
    with pytest.raises(DeviceError, match=r"^privacy\.noise: draws .*: raise data\.device_budget"):
        check_techniques(split(a_training(privacy=privacy), tiny, "cpu")[0], is_streamed=True)
    norm = a_training(privacy=privacy, model={"name": "mlp", "widths": [8], "norm": "batch"})
    with pytest.raises(HpoError, match=r"^privacy\.noise: takes the gradient of each row apart"):
        check_techniques(split(norm, tiny, "cpu")[0])


def test_averages_of_models_with_statistics_are_not_streamed_and_those_without_are(
    tiny: DataSet,
) -> None:
    train = {"epochs": 2, "average": {"name": "swa"}}
    check_techniques(split(a_training(train=train), tiny, "cpu")[0], is_streamed=True)
    model = {"name": "mlp", "widths": [8], "norm": "batch"}
    program, _ = split(a_training(train=train, model=model), tiny, "cpu")
    check_techniques(program)
    with pytest.raises(DeviceError, match=r"^train\.average\.name: swa needs all training rows"):
        check_techniques(program, is_streamed=True)
