"""Models of which units were cut, without them: by what is left of each array, and by answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import export

from hpo.engine.training.compression.packing import leaves
from hpo.trained.exported.integers import integer_network
from hpo.trained.exported.network import (
    network,
    slim_network,
    stablehlo,
    units_left,
    whole_network,
)
from hpo.trained.exported.onnx_model import session
from hpo.trained.exported.operators import OPERATORS
from hpo.trained.exported.slimming import known, smaller
from hpo.trained.exported.translation import translated
from tests.trained.exported.drawn import data_of, drawn, features_for, with_cut

WIDE = np.linspace(-1, 1, 16, dtype=np.float32)
WAVES = np.sin(np.arange(6 * 24, dtype=np.float32)).reshape(6, 24)
Shapes = dict[str, tuple[int, ...]]

# A model, its data, the units that are cut, arrays with other numbers, and the arrays that are
# then smaller.
CASES: dict[str, tuple[dict[str, Any], str, dict[str, list[int]], dict[str, Any], Shapes]] = {
    # A sigmoid of 0 is a half, which goes into the next sum.
    "mlp": (
        {"name": "mlp", "widths": [8, 6], "activation": "sigmoid", "norm": "batch"},
        "table",
        {"linears/0": [1, 5], "linears/1": [0, 1, 2]},
        {},
        {
            "linears/0/kernel": (5, 6),
            **dict.fromkeys(("norms/0/scale", "norms/0/bias"), (6,)),
            "linears/1/kernel": (6, 3),
            **dict.fromkeys(("norms/1/scale", "norms/1/bias"), (3,)),
            "head/kernel": (3, 2),
        },
    ),
    # The norm counts a unit that is cut, and gives it a value of its own, unless its factor is 0.
    "mlp, norm: layer": (
        {"name": "mlp", "widths": [4], "norm": "layer"},
        "table",
        {"linears/0": [1, 2]},
        {"norms__0__scale": np.array([1, 0, 1, 1], np.float32), "linears__0__bias": WIDE[:4]},
        {
            "linears/0/kernel": (5, 3),
            "linears/0/bias": (3,),
            **dict.fromkeys(("norms/0/scale", "norms/0/bias"), (3,)),
            "head/kernel": (3, 2),
        },
    ),
    "cnn": (
        {"name": "cnn", "filters": [4, 6], "dense": 8, "stride": 2, "norm": "batch"},
        "colours",
        {"convs/0": [0], "convs/1": [1, 2], "dense": [0, 1, 2, 3]},
        {},
        {
            "convs/0/kernel": (3, 3, 3, 3),
            **dict.fromkeys(("norms/0/scale", "norms/0/bias"), (3,)),
            "convs/1/kernel": (3, 3, 3, 4),
            **dict.fromkeys(("norms/1/scale", "norms/1/bias"), (4,)),
            "dense/kernel": (4, 4),
            "dense/bias": (4,),
            "head/kernel": (4, 3),
        },
    ),
    # As many filters of each group go.
    "cnn, groups": (
        {"name": "cnn", "filters": [4, 8], "dense": 4, "groups": 2},
        "colours",
        {"convs/1": [0, 1, 2, 5, 6]},
        {},
        {"convs/1/kernel": (3, 3, 2, 4), "convs/1/bias": (4,), "dense/kernel": (16, 4)},
    ),
    # A factor has units of its own.
    "cnn, rank": (
        {"name": "cnn", "filters": [8], "rank": 3, "dense": 8},
        "colours",
        {"convs/0/left": [1], "convs/0/right": [0, 7], "dense/left": [0, 2]},
        {},
        {
            "convs/0/left/kernel": (3, 3, 3, 2),
            "convs/0/right/kernel": (1, 1, 2, 6),
            "convs/0/right/bias": (6,),
            "dense/left/kernel": (96, 1),
            "dense/right/kernel": (1, 8),
        },
    ),
    # Filters between the convolutions of a block, whatever they answer after their norm.
    "resnet": (
        {"name": "resnet", "filters": [4, 6], "blocks": 1, "norm": "batch"},
        "colours",
        {"blocks/0/convs/0": [0, 1], "blocks/1/convs/0": [5], "blocks/0/convs/1": [2]},
        {"blocks__0__norms__0__bias": np.array([0.5, -0.5, 0.5, 0.5], np.float32)},
        {
            "blocks/0/convs/0/kernel": (3, 3, 4, 2),
            **dict.fromkeys(("blocks/0/norms/0/scale", "blocks/0/norms/0/bias"), (2,)),
            "blocks/0/convs/1/kernel": (3, 3, 2, 4),
            "blocks/1/convs/0/kernel": (3, 3, 4, 5),
            **dict.fromkeys(("blocks/1/norms/0/scale", "blocks/1/norms/0/bias"), (5,)),
            "blocks/1/convs/1/kernel": (3, 3, 5, 6),
        },
    ),
    # A channel of the sums goes where all of them lack it.
    "resnet, depthwise": (
        {"name": "resnet", "filters": [4], "blocks": 1, "block": "depthwise", "norm": "none"},
        "colours",
        {"first": [2], "blocks/0/convs/1": [0, 1], "blocks/0/convs/3": [2]},
        # Below 0, so that relu answers 0: a depthwise convolution reads zeros around the image.
        {"first__bias": WIDE[:4], "blocks__0__convs__1__bias": WIDE[:4]},
        {
            "first/kernel": (3, 3, 3, 3),
            "first/bias": (3,),
            "blocks/0/convs/0/kernel": (3, 3, 1, 3),
            "blocks/0/convs/0/bias": (3,),
            "blocks/0/convs/1/kernel": (1, 1, 3, 2),
            "blocks/0/convs/1/bias": (2,),
            "blocks/0/convs/2/kernel": (3, 3, 1, 2),
            "blocks/0/convs/2/bias": (2,),
            "blocks/0/convs/3/kernel": (1, 1, 2, 3),
            "blocks/0/convs/3/bias": (3,),
            "blocks/0/last/scale": (3,),
            "head/kernel": (3, 3),
        },
    ),
    # What a level answers is read below it and, beside what comes from below, on the way up.
    "unet": (
        {"name": "unet", "filters": 4, "depth": 1},
        "masks",
        {"convs/0": [0], "convs/1": [1, 2], "convs/2": [7], "ups/0": [2, 6, 10, 14, 15]},
        {"convs__1__bias": WIDE[:4], "ups__0__bias": WIDE[4:8]},
        {
            "convs/0/kernel": (3, 3, 1, 3),
            "convs/0/bias": (3,),
            "convs/1/kernel": (3, 3, 3, 2),
            "convs/1/bias": (2,),
            "convs/2/kernel": (3, 3, 2, 7),
            "convs/2/bias": (7,),
            "convs/3/kernel": (3, 3, 7, 8),
            "ups/0/kernel": (8, 12),
            "ups/0/bias": (3,),
            "convs/4/kernel": (3, 3, 5, 4),
        },
    ),
    "transformer": (
        {"name": "transformer", "width": 8, "depth": 1, "feed": 16},
        "texts",
        {"blocks/0/wide": [0, 3, 15], "blocks/0/narrow": [1], "blocks/0/attend/out": [0]},
        {"blocks__0__wide__bias": WIDE},
        {
            "blocks/0/wide/kernel": (8, 13),
            "blocks/0/wide/bias": (13,),
            "blocks/0/narrow/kernel": (13, 8),
        },
    ),
    # Numbers of the vectors of tokens, and a state that starts at 0 and whose candidate is 0.
    "rnn, gru": (
        {"name": "rnn", "cell": "gru", "width": 6, "embedding": 5},
        "texts",
        {"layers/0/0/linear": [0, 14]},
        {
            "embedding__tokens__embedding": WIDE[:7, None] * np.float32([1, 0, 1, 0, 1]),
            "layers__0__0__linear__bias": np.float32([1, 2, *[0] * 12, 0, 1, 2, 3]),
            "layers__0__0__recurrent": WAVES[:, :18] * (np.arange(18) != 14),
        },
        {
            "embedding/tokens/embedding": (7, 3),
            "layers/0/0/linear/kernel": (3, 15),
            "layers/0/0/linear/bias": (15,),
            "layers/0/0/recurrent": (5, 15),
            "head/kernel": (5, 2),
        },
    ),
    # Of two directions, each has states of its own.
    "rnn, lstm": (
        {"name": "rnn", "cell": "lstm", "width": 6, "bidirectional": True, "depth": 2},
        "series",
        {"layers/0/1/linear": [12, 13, 17]},
        {
            "layers__0__1__gate_bias": np.float32([1] * 12 + [0, 0, 1, 1, 1, 0] + [2] * 6),
            "layers__0__1__recurrent": WAVES * ~np.isin(np.arange(24), [12, 13]),
        },
        {
            "layers/0/1/linear/kernel": (3, 16),
            "layers/0/1/gate_bias": (16,),
            "layers/0/1/recurrent": (4, 16),
            **dict.fromkeys(("layers/1/0/linear/kernel", "layers/1/1/linear/kernel"), (10, 24)),
        },
    ),
    # All members of `tabm` share the kernels.
    "tabm": (
        {"name": "tabm", "widths": [6], "members": 3},
        "table",
        {"layers/0": [2, 3]},
        {"layers__0__bias": np.arange(18, dtype=np.float32).reshape(3, 6)},
        {
            "layers/0/kernel": (5, 4),
            **dict.fromkeys(("layers/0/after", "layers/0/bias"), (3, 4)),
            "heads": (3, 4, 2),
        },
    ),
    "realmlp": (
        {"name": "realmlp", "widths": [6, 4]},
        "table",
        {"layers/0": [0], "layers/1": [0, 1]},
        {},
        {
            "layers/0/kernel": (11, 5),
            **dict.fromkeys(("layers/0/bias", "layers/0/mix"), (5,)),
            "layers/1/kernel": (5, 2),
            **dict.fromkeys(("layers/1/bias", "layers/1/mix"), (2,)),
            "head": (2, 2),
        },
    ),
}


def shapes(weights: Any) -> Shapes:
    return {name: np.shape(one) for name, one in leaves(weights["params"])}


@pytest.mark.parametrize("name", CASES)
def test_cut_units_leave_the_file_and_the_answers_stay(name: str, tmp_path: Path) -> None:
    spec, kind, units, changed, smaller = CASES[name]
    model, _ = drawn(tmp_path, data_of(tmp_path, kind), spec)
    model = with_cut(model, units, **changed)
    (member,) = model.members
    whole, slim = whole_network(model, member), slim_network(model, member)
    assert {k: v for k, v in shapes(slim.weights).items() if v != shapes(whole.weights)[k]} == (
        smaller
    )
    x = features_for(model, 7)
    expected = np.asarray(model.outputs(member, x))
    data = network(model, member).SerializeToString()
    (found,) = session(data).run(None, {"x": x})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_model_of_which_no_unit_is_cut_has_the_file_that_it_had(tmp_path: Path) -> None:
    model, _ = drawn(tmp_path, data_of(tmp_path, "colours"), {"name": "resnet", "filters": [4]})
    (member,) = model.members
    whole = whole_network(model, member)
    plain = translated(whole.outputs, model.description.shape, np.float32, OPERATORS)
    assert network(model, member).SerializeToString() == plain.SerializeToString()
    assert units_left(model) is None
    # A weight of each unit that is 0 cuts none.
    one = np.array(member.weights["params"]["first"]["kernel"])
    one[0, 0, 0] = 0
    assert units_left(with_cut(model, {}, first__kernel=one)) is None


def test_the_file_is_smaller_by_the_weights_that_go(tmp_path: Path) -> None:
    spec = {"name": "resnet", "filters": [64], "blocks": 1}
    model, _ = drawn(tmp_path, data_of(tmp_path, "colours"), spec)
    half = with_cut(model, {"blocks/0/convs/0": [*range(0, 64, 2)]})
    # The inner filters are in two convolutions of 3x3, and in the four arrays of a norm.
    gone = 4 * (2 * 9 * 64 * 32 + 4 * 32)
    whole, slim = (len(network(one, one.members[0]).SerializeToString()) for one in (model, half))
    assert gone - 9 * 64 * 4 - 2_000 < whole - slim <= gone
    whole, slim = len(stablehlo(model)), len(stablehlo(half))
    assert gone - 9 * 64 * 4 - 2_000 < whole - slim <= gone
    assert units_left(half) == {"model": 3 * 64, "export": 3 * 64 - 32, "stay": 0}


def test_units_that_sums_need_are_said_to_stay(tmp_path: Path) -> None:
    spec = {"name": "transformer", "width": 8, "depth": 1, "feed": 16}
    model, _ = drawn(tmp_path, data_of(tmp_path, "texts"), spec)
    cut = with_cut(model, {"blocks/0/wide": [0, 3], "blocks/0/narrow": [1]})
    # Tokens, positions, three parts of attention and what joins them, and two layers.
    whole = 8 + 8 + 3 * 8 + 8 + 16 + 8
    assert units_left(cut) == {"model": whole, "export": whole - 2, "stay": 1}


def test_one_unit_stays_where_all_are_cut(tmp_path: Path) -> None:
    spec = {"name": "mlp", "widths": [4, 3]}
    model, _ = drawn(tmp_path, data_of(tmp_path, "table"), spec)
    model = with_cut(model, {"linears/0": [0, 1, 2, 3]})
    (member,) = model.members
    left = shapes(slim_network(model, member).weights)
    assert (left["linears/0/kernel"], left["linears/1/kernel"]) == ((5, 1), (1, 1))
    x = features_for(model, 3)
    (found,) = session(network(model, member).SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, model.outputs(member, x), rtol=1e-5, atol=1e-6)


def test_stablehlo_and_each_of_several_members_lose_their_own_units(tmp_path: Path) -> None:
    spec = {"name": "resnet", "filters": [4], "blocks": 1}
    model, _ = drawn(tmp_path, data_of(tmp_path, "colours"), spec)
    (first,), (second,) = (
        with_cut(model, {"blocks/0/convs/0": units}).members for units in ([0], [1, 2])
    )
    both = replace(model, members=(first, second))
    x = features_for(model, 5)
    chances = [jax.nn.softmax(np.asarray(model.outputs(one, x))) for one in both.members]
    found = export.deserialize(bytearray(stablehlo(both))).call(x)
    np.testing.assert_allclose(found, np.mean(chances, axis=0), rtol=1e-5)
    assert units_left(both) == {"model": 24, "export": 21, "stay": 0}


@pytest.mark.parametrize("activations", [None, 4])
def test_in_few_bits_a_model_loses_its_units_and_keeps_its_levels(
    activations: int | None, tmp_path: Path
) -> None:
    bits: dict[str, Any] = {"weights": {"name": "integer", "bits": 4, "scales": "channel"}}
    if activations is not None:
        bits["activations"] = {"bits": activations}
    spec = {"name": "cnn", "filters": [4, 6], "dense": 8}
    model, _ = drawn(tmp_path, data_of(tmp_path, "colours"), spec, compression=bits)
    (member,) = model.members
    rounded = jax.tree_util.tree_map_with_path(_in_levels, member.weights)
    levels = model.training.compression.weights
    model = replace(model, members=(member._replace(weights=rounded),), levels=levels)
    model = with_cut(model, {"convs/0": [1], "convs/1": [0, 2], "dense": [7]})
    (member,) = model.members
    x = features_for(model, 9)
    found = integer_network(model, member)
    stored = {one.name: tuple(one.dims) for one in found.graph.initializer if one.data_type == 3}
    whole = {name: array for name, array in leaves(member.weights) if name.endswith("kernel")}
    if activations is None:
        numbers = sum(int(np.prod(one)) for one in stored.values() if len(one) > 1)
        assert numbers == 27 * 3 + 27 * 4 + 4 * 4 * 7 + 7 * 3 < sum(a.size for a in whole.values())
    (answers,) = session(found.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(answers, model.outputs(member, x), rtol=1e-4, atol=1e-5)


def _in_levels(path: Any, array: np.ndarray) -> np.ndarray:
    """Kernels in whole numbers up to 7 times an eighth; the ends of ranges."""
    name = path[-1].key
    if name in ("low", "high"):
        return np.full_like(array, {"low": -2, "high": 2}[name])
    return np.clip(np.rint(array * 40), -7, 7) / 8 if name == "kernel" else array


def test_a_module_of_a_user_loses_its_units(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import jax.numpy as jnp\n"
        "from flax import nnx\n\n"
        "class Mine(nnx.Module):\n"
        "    def __init__(self, inputs, outputs, rngs):\n"
        "        self.one = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)\n"
        "        self.norm = nnx.BatchNorm(8, rngs=rngs)\n"
        "        self.two = nnx.Conv(8, 4, (3, 3), padding='VALID', rngs=rngs)\n"
        "        self.head = nnx.Linear(8, outputs, rngs=rngs)\n\n"
        "    def __call__(self, x, train):\n"
        "        x = nnx.silu(self.norm(self.one(x), use_running_average=not train))\n"
        "        x = nnx.avg_pool(self.two(x), (2, 2))\n"
        "        x = jnp.concatenate([x.mean((1, 2)), x.max((1, 2))], axis=-1)\n"
        "        return self.head(x)\n"
    )
    spec = {"python": "mine.py:Mine"}
    model, _ = drawn(tmp_path, data_of(tmp_path, "colours"), spec)
    model = with_cut(model, {"one": [1, 6], "two": [0]})
    (member,) = model.members
    left = shapes(slim_network(model, member).weights)
    assert (left["one/kernel"], left["two/kernel"]) == ((3, 3, 3, 6), (3, 3, 6, 3))
    x = features_for(model, 5)
    (found,) = session(network(model, member).SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, model.outputs(member, x), rtol=1e-5, atol=1e-6)


def test_a_network_that_cannot_be_followed_keeps_its_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"name": "mlp", "widths": [8], "activation": "tanh"}
    model, _ = drawn(tmp_path, data_of(tmp_path, "table"), spec)
    model = with_cut(model, {"linears/0": [1, 5]})
    assert units_left(model) == {"model": 8, "export": 6, "stay": 0}

    def broken(*_: Any) -> None:
        raise ValueError("sizes")

    # One fails before the network is smaller, the other while it is traced again.
    for place in (known.RULES, smaller.CHANGES):
        with monkeypatch.context() as patch:
            patch.setitem(place, "tanh", broken)
            assert units_left(model) == {"model": 8, "export": 8, "stay": 2}
            (member,) = model.members
            x = features_for(model, 5)
            (found,) = session(network(model, member).SerializeToString()).run(None, {"x": x})
            np.testing.assert_allclose(found, model.outputs(member, x), rtol=1e-5, atol=1e-6)
