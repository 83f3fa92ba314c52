"""Groups of convolutions that lose as many filters each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.engine.training.compression.packing import leaves
from hpo.trained.exported.network import network, slim_network
from hpo.trained.exported.onnx_model import session
from hpo.trained.exported.slimming.groups import with_groups_aligned
from tests.trained.exported.drawn import data_of, drawn, features_for, with_cut

Shapes = dict[str, tuple[int, ...]]
PLAIN = {"name": "cnn", "filters": [8, 6], "dense": 4, "activation": "sigmoid"}
BLOCK = {"name": "resnet", "filters": [8], "blocks": 1, "groups": 2, "norm": "batch"}


@pytest.mark.parametrize(
    ("spec", "units", "smaller"),
    [
        # One filter in each of two groups of four, and two in one of them.
        (
            PLAIN | {"groups": [1, 2], "norm": "batch"},
            {"convs/0": [3, 4, 6]},
            {"convs/0/kernel": (3, 3, 3, 6), "convs/1/kernel": (3, 3, 3, 6)},
        ),
        (
            PLAIN | {"groups": [1, 2], "rank": 2},
            {"convs/0/right": [3, 4, 6]},
            {"convs/0/right/kernel": (1, 1, 2, 6), "convs/1/kernel": (3, 3, 3, 6)},
        ),
        # Two groups of channels are none of the three groups before, so that no filter may move.
        (
            PLAIN | {"filters": [3, 6, 4], "groups": [1, 3, 2]},
            {"convs/1": [1, 3]},
            {},
        ),
        (
            BLOCK,
            {"blocks/0/convs/0": [0, 1, 5, 6, 7]},
            {"blocks/0/convs/0/kernel": (3, 3, 4, 4), "blocks/0/convs/1/kernel": (3, 3, 2, 8)},
        ),
    ],
)
def test_as_many_filters_of_each_group_go(
    spec: dict[str, Any], units: dict[str, list[int]], smaller: Shapes, tmp_path: Path
) -> None:
    model, _ = drawn(tmp_path, data_of(tmp_path, "colours"), spec)
    model = with_cut(model, units)
    (member,) = model.members
    whole, slim = (
        {name: one.shape for name, one in leaves(weights["params"]) if name.endswith("kernel")}
        for weights in (member.weights, slim_network(model, member).weights)
    )
    assert {name: shape for name, shape in slim.items() if shape != whole[name]} == smaller
    x = features_for(model, 7)
    (found,) = session(network(model, member).SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, model.outputs(member, x), rtol=1e-5, atol=1e-6)


def test_filters_and_what_reads_them_move_together() -> None:
    filters = np.array([0.0, 1, 2, 3]).reshape(1, 1, 1, 4)
    # Two groups with two channels and one filter each: the first one reads 10 and 20.
    rows = np.array([[10.0, 30], [20, 40]]).reshape(1, 1, 2, 2)
    names = {"kernel": filters, "bias": np.arange(4.0)}
    weights = {
        "params": {"convs": {0: names, 1: {"kernel": rows}}},
        "variables": {"norms": {0: {"mean": np.arange(4.0)}}},
    }
    found = with_groups_aligned(weights, lambda index: 1)
    first, second = found["params"]["convs"].values()
    assert first["kernel"].ravel().tolist() == first["bias"].tolist() == [1, 0, 2, 3]
    assert found["variables"]["norms"][0]["mean"].tolist() == [1, 0, 2, 3]
    assert second["kernel"].reshape(2, 2).tolist() == [[20, 30], [10, 40]]
