"""Heads of attention that lose as many numbers each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.engine.training.compression.packing import leaves
from hpo.trained.exported.network import network, slim_network
from hpo.trained.exported.onnx_model import session
from hpo.trained.exported.slimming.heads import with_heads_aligned
from tests.trained.exported.drawn import data_of, drawn, features_for, with_cut

# Of two heads with four numbers each: the columns of queries, keys and values that are cut.
QUERIES, KEYS, VALUES = [0, 5], [8 + 0, 8 + 2, 8 + 7], [16 + 1, 16 + 3, 16 + 4, 16 + 6]
JOINT = "blocks/0/attend/joint"


@pytest.mark.parametrize(
    ("more", "joint", "inner"),
    [
        # The first head lacks two queries or keys, the second one too; both lack two values.
        ({}, JOINT, 4),
        ({"positions": "rotary"}, JOINT, 8),  # whose numbers are in pairs
        ({"rank": 3}, f"{JOINT}/right", 4),
    ],
)
def test_as_many_numbers_of_each_head_go(
    more: dict[str, Any], joint: str, inner: int, tmp_path: Path
) -> None:
    spec = {"name": "transformer", "width": 8, "heads": 2, "depth": 1} | more
    model, _ = drawn(tmp_path, data_of(tmp_path, "texts"), spec)
    columns = [*QUERIES, *KEYS, *VALUES]
    bias = np.linspace(-1, 1, 24, dtype=np.float32)
    bias[columns] = 0
    model = with_cut(model, {joint: columns}, **{f"{joint.replace('/', '__')}__bias": bias})
    (member,) = model.members
    slim = dict(leaves(slim_network(model, member).weights["params"]))
    read = "blocks/0/attend/out/left/kernel" if "rank" in more else "blocks/0/attend/out/kernel"
    assert slim[f"{joint}/kernel"].shape[1] == len(slim[f"{joint}/bias"]) == 3 * inner
    assert len(slim[read]) == inner
    x = features_for(model, 7)
    (found,) = session(network(model, member).SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, model.outputs(member, x), rtol=1e-5, atol=1e-6)


def test_what_each_head_reads_comes_first() -> None:
    kernel = np.arange(1.0, 13)[None]
    kernel[0, [0, 7, 8]] = 0  # a query of the first head, a key and a value
    out = np.arange(4.0)[:, None]
    found = with_heads_aligned({"joint": {"kernel": kernel}, "out": {"kernel": out}}, heads=2)
    # The first head has two numbers in the places 0 and 1, the second one in 2 and 3.
    assert found["joint"]["kernel"].tolist() == [[2, 0, 3, 4, 6, 5, 7, 0, 10, 0, 11, 12]]
    assert found["out"]["kernel"][:, 0].tolist() == [1, 0, 2, 3]
    assert with_heads_aligned({"head": {"kernel": kernel}}, 2)["head"]["kernel"] is kernel
