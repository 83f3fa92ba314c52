"""What is checked before a study of lanes is created."""

from dataclasses import replace

import pytest

from hpo.errors import HpoError
from hpo.study.backends.backend import backend_of
from hpo.study.backends.lanes import LaneBackend
from tests.own_code import NET, own_experiment, write_net
from tests.study.whole import an_experiment


@pytest.fixture
def around(studies):
    return replace(studies.around, cache=None)


def test_a_training_of_a_model_trains_in_lanes_on_the_fingerprinted_data(around):
    backend = backend_of(an_experiment(), around, print)

    assert isinstance(backend, LaneBackend)
    assert backend.provenance.data_fingerprint
    assert "cpu" in backend.provenance.device.lower()
    assert "jax" in backend.provenance.versions


def test_a_batch_larger_than_the_data_is_refused_before_the_first_trial(around):
    experiment = an_experiment(space={"data.batch_size": {"int": [8, 4096]}})

    with pytest.raises(HpoError, match="4096 is larger than the 90 training rows"):
        backend_of(experiment, around, print)


def test_an_own_model_whose_outputs_do_not_fit_is_refused_before_the_first_trial(around, tmp_path):
    write_net(tmp_path, NET.replace("nnx.Linear(width, outputs", "nnx.Linear(width, 5"))
    experiment = own_experiment(tmp_path, space={"model.rate": {"float": [0.0, 0.5]}})

    with pytest.raises(
        HpoError, match=r"have the shape \[rows, 5\], and the data need \[rows, 3\]"
    ):
        backend_of(experiment, around, print)
