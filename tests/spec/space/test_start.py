# ruff: noqa: E501 - a message is one line, as users see it
"""Points that the user knows, which are tried first."""

import pytest

from hpo.errors import SpecError
from hpo.spec.experiment import Training
from hpo.spec.space.start import start_points
from tests.spec.space.samples import SPACE, searched, values_of

DEEP = {
    "optimizer.name": {"choice": ["adam", "sgd"]},
    "optimizer.learning_rate": {"float": [0.01, 0.1]},
    "optimizer.momentum": {"float": [0.5, 0.8], "when": {"optimizer.name": "sgd"}},
}


def test_a_point_takes_the_specs_values_where_its_dimensions_have_them():
    found = searched(DEEP)
    points = start_points(
        found.space,
        values_of(found),
        [{}, {"optimizer.name": "adam", "optimizer.learning_rate": 0.1}],
        Training,
    )
    assert points == (
        # The default momentum, 0.9, is out of range: it is drawn.
        {"optimizer.name": "sgd", "optimizer.learning_rate": 0.05},
        {"optimizer.name": "adam", "optimizer.learning_rate": 0.1},
    )


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ([{"model.dropuot": 0.1}], "search.start[0].model.dropuot: is not a dimension of the space: unknown dimension 'model.dropuot'. Did you mean 'model.dropout'?"),
        ([{}, {"model.dropout": 0.7}], "search.start[1].model.dropout: 0.7 is not among its values: write 0.0 to 0.5"),
        ([{"model.activation": "tanh"}], "search.start[0].model.activation: 'tanh' is not among its values: write 'relu' or 'gelu'"),
        ([{"model.dropout": True}], "search.start[0].model.dropout: true is not among its values: write 0.0 to 0.5"),
        ([{"model.dropout": 0.5, "model.activation": "gelu"}], "search.start[0]: is forbidden by 'model.dropout > 0.4 and model.activation == gelu': correct it or remove it"),
        ([{}, {}], "search.start[1]: is listed twice: remove one"),
        ([{"optimizer.weight_decay": 0.1}], "search.start[0].optimizer.weight_decay: is derived, and follows from the others: remove it"),
        ([{"model.norm": "none", "optimizer.schedule.warmup": 0.1}], "search.start[0].optimizer.schedule.warmup: is not active in this point, where model.norm has another value: remove it"),
        (3, "search.start: cannot be 3: write a list of"),
        ([3], "search.start: cannot be [3]: write a list of"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_point_is_one_line(start, message):
    space = {
        **SPACE,
        "model.norm": {"choice": ["none", "layer"]},
        "optimizer.schedule.warmup": {"float": [0.0, 0.2], "when": {"model.norm": "layer"}},
        "optimizer.weight_decay": {"derived": "model.dropout"},
        "forbid": ["model.dropout > 0.4 and model.activation == gelu"],
    }
    with pytest.raises(SpecError) as caught:
        searched(space, start=start)
    (line,) = caught.value.mistakes
    assert line.startswith(message)
