import jax
import numpy as np
import pytest

from hpo.data.dataset import DataSet
from hpo.engine.program import split
from hpo.engine.programs.footprint import (
    forward_flops,
    forward_macs,
    known_costs,
    latency_ms,
    model_bytes,
    own_program,
)
from hpo.engine.training.supervised import initial_lane
from hpo.engine.training.weights import weight_count
from hpo.spec.experiment import Training
from tests.engine.samples import a_split, tiny_data

DATA = tiny_data()
INPUTS, OUTPUTS = DATA.train.x.shape[1], DATA.outputs


def training(**model):
    return Training.model_validate(
        {
            "data": {"dataset": "iris", "batch_size": 8},
            "model": {"name": "mlp", "widths": [4, 3], **model},
            "optimizer": {"name": "sgd"},
            "train": {"epochs": 2},
        }
    )


def program(**model):
    return own_program(training(**model), DATA, "cpu")


def test_parameters_are_all_weights_that_are_trained():
    by_hand = (INPUTS + 1) * 4 + (4 + 1) * 3 + (3 + 1) * OUTPUTS
    assert weight_count(program()) == by_hand
    params = initial_lane(program(norm="batch"), training(norm="batch")).params
    assert weight_count(program(norm="batch")) == params.size


def test_parameters_leave_out_the_steps_between_levels_of_weights():
    spec = training().model_dump(exclude_unset=True)
    learned = {**spec, "compression": {"weights": {"name": "learned", "bits": 4}}}
    found = known_costs(Training.model_validate(learned), DATA, "cpu", ())["parameters"]
    assert found == (INPUTS + 1) * 4 + (4 + 1) * 3 + (3 + 1) * OUTPUTS


def test_merging_does_not_change_the_costs_of_a_model():
    merged = {"widths": [[4, 3], [64, 64]], "batch_size": [8, 16]}
    spec = training().model_dump(exclude_unset=True)
    serving = Training.model_validate({**spec, "train": {"epochs": 2, "merged": merged}})
    assert split(serving, DATA, "cpu")[0].merged
    assert own_program(serving, DATA, "cpu") == program()


def test_flops_are_a_little_more_than_two_for_each_weight_of_a_product():
    products = 2 * (INPUTS * 4 + 4 * 3 + 3 * OUTPUTS)
    assert products < forward_flops(program()) <= products + 4 * (4 + 3 + OUTPUTS)
    assert forward_macs(program()) == products // 2


def test_flops_of_a_recurrent_network_count_every_place_of_the_sequence():
    recurrent = {"name": "rnn", "cell": "simple", "width": 6}
    spec = {**training().model_dump(exclude_unset=True), "model": recurrent}
    flops = forward_flops(own_program(Training.model_validate(spec), DATA, "cpu"))
    # Each of the columns is a place: an input, the state, and their sum.
    products = INPUTS * 2 * (6 + 6 * 6) + 2 * 6 * OUTPUTS
    assert products < flops <= 1.2 * products
    assert forward_macs(own_program(Training.model_validate(spec), DATA, "cpu")) == products // 2


def test_flops_count_every_group_of_a_convolution():
    rows = a_split(np.random.default_rng(0), 8, (4, 4, 4))
    images = DataSet("classification", rows, rows, None, 2, "i")
    model = {"filters": (8,), "groups": 2, "padding": "valid", "dense": ()}
    of_cnn = Training.model_validate(
        {
            "data": {"dataset": "digits", "batch_size": 8},
            "model": {"name": "cnn", "bias": False, **model},
            "optimizer": {"name": "sgd"},
            "train": {"epochs": 1},
        }
    )
    # Each of 8 filters sees 2 channels at 3x3 pixels, in 2x2 places; one pixel is left for the
    # head. Less than 100 operations are for relu, pooling and the head's bias.
    products = 2 * (4 * 8 * 2 * 9 + 8 * 2)
    own = own_program(of_cnn, images, "cpu")
    assert products < forward_flops(own) < products + 100
    assert forward_macs(own) == products // 2


def test_costs_are_counted_only_if_they_are_wanted():
    assert set(known_costs(training(), DATA, "cpu", ())) == {"parameters"}
    wanted = {"flops", "macs", "model_bytes"}
    assert set(known_costs(training(), DATA, "cpu", ("accuracy", *wanted))) == {
        "parameters",
        *wanted,
    }


def test_the_bytes_of_a_model_without_compression_are_those_of_its_numbers():
    found = known_costs(training(norm="batch"), DATA, "cpu", ("model_bytes",))
    means_and_variances = 2 * (4 + 3)
    assert found["model_bytes"] == 4 * (found["parameters"] + means_and_variances)
    small = training().model_dump(exclude_unset=True)
    small["compression"] = {"weights": {"name": "integer", "bits": 2}}
    weights = INPUTS * 4 + 4 * 3 + 3 * OUTPUTS
    expected = sum(-(-2 * n // 8) for n in (INPUTS * 4, 4 * 3, 3 * OUTPUTS)) + 4 * 3
    assert model_bytes(program(), Training.model_validate(small)) == expected + 4 * (
        known_costs(training(), DATA, "cpu", ())["parameters"] - weights
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_model_of_any_precision_has_a_latency(precision):
    spec = training()
    spec = spec.model_copy(update={"train": spec.train.model_copy(update={"precision": precision})})
    assert 0 < latency_ms(spec, DATA, jax.devices("cpu")[0]) < 1000
