"""What is checked before a study of lanes is created."""

from dataclasses import replace

import pytest

from hpo.errors import HpoError
from hpo.study.backends.backend import backend_of
from hpo.study.backends.lanes import LaneBackend
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


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({"data.batch_size": {"int": [8, 4096]}}, "4096 is larger than the 90 training rows"),
        ({"model.name": {"choice": ["mlp", "cnn"]}}, "cnn"),
    ],
    ids=["a batch larger than the data", "a model that needs images"],
)
def test_what_some_trial_could_not_train_is_refused_before_the_first(around, space, says):
    experiment = an_experiment(space=space)

    with pytest.raises(HpoError, match=says):
        backend_of(experiment, around, print)
