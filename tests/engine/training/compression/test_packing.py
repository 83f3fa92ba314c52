"""Packed arrays, against the counts of their bits and against themselves."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hpo.engine.models.abstract import STEPS
from hpo.engine.training.compression.packing import (
    Packing,
    pack,
    packed_bytes,
    packings,
    steps_of,
    unpacked,
)
from hpo.engine.training.compression.quantisation import quantised
from hpo.spec.sections.compression.section import Compression

RNG = np.random.default_rng(0)
HEAD = RNG.standard_normal((5, 3)).astype(np.float32)
HEAD[:, 1] = 0  # a unit without weights
TREE: dict[str, Any] = {
    "linears": {0: {"kernel": RNG.standard_normal((7, 5)).astype(np.float32)}},
    "head": {"kernel": HEAD, "bias": np.ones(3, np.float32)},
}
VARIABLES = {"variables/mean": np.arange(4, dtype=np.float32), "variables/count": np.array(7)}


def _arrays(compression: Compression, cut: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a model, some weights of the first layer cut, then all rounded."""
    first = TREE["linears"][0]["kernel"].copy()
    first.reshape(-1)[1 : 1 + cut] = 0
    kept = quantised(compression, {**TREE, "linears": {0: {"kernel": first}}})
    named = {"linears/0/kernel": kept["linears"][0]["kernel"], **_of_head(kept["head"])}
    return {f"params/{name}": np.array(array) for name, array in named.items()} | VARIABLES


def _of_head(layer: Any) -> dict[str, Any]:
    return {f"head/{name}": array for name, array in layer.items()}


def _packed(compression: Compression, arrays: dict[str, np.ndarray]) -> tuple[list[Packing], bytes]:
    packed = packings(compression, arrays)
    return packed, b"".join(pack(one, arrays[one.name]) for one in packed)


@pytest.mark.parametrize("scales", ["tensor", "channel"])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_arrays_come_back_to_the_bit_and_take_their_bits(
    bits: int, scales: str, share: float
) -> None:
    name = "magnitude" if share else "none"
    compression = Compression.model_validate(
        {
            "weights": {"name": "integer", "bits": bits, "scales": scales},
            "sparsity": {"name": name, "share": share},
        }
    )
    arrays = _arrays(compression, cut=int(35 * share))
    packed, data = _packed(compression, arrays)
    found = dict(unpacked(packed, data))
    assert found.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(found[key], array)
        assert (found[key].dtype, found[key].shape) == (array.dtype, array.shape)
    counts = [np.count_nonzero(array) if share else array.size for array in _kernels(arrays)]
    # Of 2 bits without 0, only a sign is left.
    width = 1 if share and bits == 2 else bits
    numbers = 5 + 3 if scales == "channel" else 2
    expected = 4 * numbers + 12 + 16 + 8 + sum(-(-count * width // 8) for count in counts)
    assert len(data) == expected + bool(share) * (5 + 2)
    assert packed_bytes(packed, arrays) == len(data)


def _kernels(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [array for name, array in arrays.items() if name.endswith("kernel")]


@pytest.mark.parametrize("scales", ["tensor", "channel"])
@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("bases", range(1, 5))
def test_bases_come_back_to_the_bit_and_take_a_bit_each(
    bases: int, share: float, scales: str
) -> None:
    sparsity = {"name": "magnitude", "share": share} if share else {}
    weights = {"name": "bases", "bases": bases, "scales": scales}
    compression = Compression.model_validate({"weights": weights, "sparsity": sparsity})
    arrays = _arrays(compression, cut=int(35 * share))
    packed, data = _packed(compression, arrays)
    for key, array in unpacked(packed, data):
        np.testing.assert_array_equal(array, arrays[key])
    counts = [np.count_nonzero(array) if share else array.size for array in _kernels(arrays)]
    tables = 4 * 2**bases * (5 + 3 if scales == "channel" else 2)
    expected = tables + 12 + 16 + 8 + sum(-(-count * bases // 8) for count in counts)
    assert len(data) == expected + bool(share) * (5 + 2)
    assert packed_bytes(packed, arrays) == len(data)


@pytest.mark.parametrize("scales", ["tensor", "channel"])
def test_trained_steps_are_the_scales_of_the_file(scales: str) -> None:
    weights = {"name": "learned", "bits": 4, "scales": scales}
    compression = Compression.model_validate({"weights": weights})
    kernels = {"linears/0/kernel": TREE["linears"][0]["kernel"], "head/kernel": HEAD}
    # The largest weights are far from the largest whole number, 7.
    steps = {
        name: np.full(kernel.shape[-1:] if scales == "channel" else 1, 0.7, np.float32)
        for name, kernel in kernels.items()
    }
    kept = quantised(compression, {**TREE, STEPS: steps})
    arrays = {
        "params/linears/0/kernel": np.array(kept["linears"][0]["kernel"]),
        "params/head/kernel": np.array(kept["head"]["kernel"]),
    }
    held = arrays | {f"params/{STEPS}/{name}": np.array(kept[STEPS][name]) for name in steps}
    packed = packings(compression, held)
    data = b"".join(pack(one, held[one.name], steps_of(one.name, held)) for one in packed)
    found = dict(unpacked(packed, data))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    numbers = 5 + 3 if scales == "channel" else 2
    assert (
        len(data) == packed_bytes(packed, held) == 4 * numbers + -(-35 * 4 // 8) + -(-15 * 4 // 8)
    )


def test_ternary_weights_take_two_bits() -> None:
    compression = Compression.model_validate({"weights": {"name": "ternary"}})
    arrays = _arrays(compression)
    packed, data = _packed(compression, arrays)
    for key, array in unpacked(packed, data):
        np.testing.assert_array_equal(array, arrays[key])
    assert len(data) == 2 * 4 + -(-35 * 2 // 8) + -(-15 * 2 // 8) + 12 + 16 + 8


def test_each_layer_takes_its_own_bits() -> None:
    compression = Compression.model_validate(
        {"weights": {"name": "integer", "bits": 3, "layers": {"first": 5}}}
    )
    arrays = _arrays(compression)
    packed, data = _packed(compression, arrays)
    for key, array in unpacked(packed, data):
        np.testing.assert_array_equal(array, arrays[key])
    assert len(data) == 2 * 4 + -(-35 * 5 // 8) + -(-15 * 3 // 8) + 12 + 16 + 8


def test_zeros_alone_leave_the_other_weights_as_they_are() -> None:
    compression = Compression.model_validate({"sparsity": {"name": "magnitude", "share": 0.5}})
    arrays = _arrays(Compression(), cut=20)
    packed, data = _packed(compression, arrays)
    for key, array in unpacked(packed, data):
        np.testing.assert_array_equal(array, arrays[key])
    assert len(data) == (5 + 4 * 15) + (2 + 4 * 10) + 12 + 16 + 8


def test_the_bytes_of_a_model_without_compression_are_those_of_its_arrays() -> None:
    arrays = _arrays(Compression())
    packed, data = _packed(Compression(), arrays)
    assert packed_bytes(packed, {}) == len(data) == sum(array.nbytes for array in arrays.values())


def test_weights_of_other_bits_are_not_packed() -> None:
    for has_table in (False, True):
        one = Packing("params/head/kernel", (5, 3), bits=3, has_table=has_table)
        with pytest.raises(ValueError, match="is not of 3 bits"):
            pack(one, HEAD)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [-1]},
        {"shape": [2**41]},
        {"bits": 9},
        {"bits": 0, "has_table": True},
        {"type": "object"},
        {"name": None, "a": 1},
    ],
)
def test_an_index_that_no_model_has_is_refused(change: dict[str, Any]) -> None:
    plain = Packing("params/head/kernel", (5, 3), bits=3).to_plain()
    assert Packing.from_plain(json.loads(json.dumps(plain))).to_plain() == plain
    with pytest.raises((ValueError, TypeError)):
        Packing.from_plain({**plain, **change})


@pytest.mark.parametrize("cut", [1, 20, 56])
def test_a_file_that_is_too_short_or_too_long_is_refused(cut: int) -> None:
    packed, data = _packed(Compression(), _arrays(Compression()))
    for wrong in (data[:-cut], data + data[:cut]):
        with pytest.raises(ValueError, match=r"ends before|bytes instead of"):
            dict(unpacked(packed, wrong))
