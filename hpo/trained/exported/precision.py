"""Networks of fewer bits: an ONNX graph or weights in float16, or in int8."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np

from hpo.engine.models.abstract import is_kernel
from hpo.engine.training.compression.packing import leaves, packings
from hpo.errors import HpoError
from hpo.spec.sections.compression.quantisation import Weights
from hpo.spec.sections.compression.section import Compression

Precision: TypeAlias = Literal["float32", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# The largest difference of answers from the model's that is usual: of chances from 1, of
# quantities in deviations of the target.
TOLERANCES: dict[Precision, float] = {"float32": 1e-5, "float16": 0.02, "int8": 0.25}
# Rows whose activations say which range int8 has to hold.
_CALIBRATING = 512
_AT_ONCE = 64
_QUANTISED = ("MatMul", "Conv")
# Names of weights that are whole numbers.
_INTEGERS = ("integer", "learned", "ternary")
_MOST = 127  # of the whole numbers of 8 bits, on both sides of zero
# The numbers of float16 that are furthest from zero and nearest to it.
_LARGEST, _SMALLEST = 65504.0, 2.0**-24


class Kernel(NamedTuple):
    """A kernel as whole numbers, int8, times a scale: one of each unit, or one of all."""

    numbers: np.ndarray
    scale: np.ndarray


Kernels: TypeAlias = Mapping[tuple[tuple[int, ...], bytes], Kernel]


class NoProductError(HpoError):
    """A network that has nothing to compute in int8."""


def reduced(network: Any, precision: Precision, x: np.ndarray | None) -> Any:
    """A network as an ONNX model in some precision; its input and its output keep their types.

    The features `x` of some rows calibrate int8.

    Raises:
        NoProductError: for a network without products that int8 computes.
    """
    if precision == "float16":
        return _in_float16(network)
    if precision == "int8":
        assert x is not None
        return _in_int8(network, x)
    return network


def _in_float16(network: Any) -> Any:
    """All float32 numbers of a network in float16.

    Numbers that float16 does not hold become its nearest: a small divisor stays above zero, and
    the large negative numbers of masks stay finite.
    """
    from onnx import ModelProto, TensorProto, checker, helper

    found = ModelProto()
    found.CopyFrom(network)
    graph, (given,) = found.graph, found.graph.input
    is_float = given.type.tensor_type.elem_type == TensorProto.FLOAT
    halves = {given.name: f"{given.name}_half"} if is_float else {}
    _halve(graph, halves)
    last = graph.node[-1]  # an Identity, whose output is the graph's
    last.CopyFrom(helper.make_node("Cast", last.input, last.output, to=TensorProto.FLOAT))
    if is_float:
        first = helper.make_node(
            "Cast", [given.name], list(halves.values()), to=TensorProto.FLOAT16
        )
        graph.node.insert(0, first)
    checker.check_model(found, full_check=True)
    return found


def _halve(graph: Any, renamed: dict[str, str]) -> None:
    """Turn the constants, casts and inner graphs of a graph to float16, and rename its inputs."""
    from onnx import TensorProto

    for tensor in graph.initializer:
        _halve_tensor(tensor)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _halve_tensor(attribute.t)
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            if attribute.HasField("g"):
                for value in (*attribute.g.input, *attribute.g.output):
                    if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                        value.type.tensor_type.elem_type = TensorProto.FLOAT16
                _halve(attribute.g, renamed)


def _halve_tensor(tensor: Any) -> None:
    from onnx import TensorProto, numpy_helper

    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(_half(numpy_helper.to_array(tensor)), tensor.name))


def _half(array: np.ndarray) -> np.ndarray:
    size = np.clip(np.abs(array), np.where(array == 0, 0, _SMALLEST), _LARGEST)
    held = np.where(np.isfinite(array), np.copysign(size, array), array)
    return held.astype(np.float16)


def kernels_of(levels: Weights, weights: Mapping[str, Any]) -> Kernels | None:
    """The kernels of a model by their shapes and bytes; None if some are no whole numbers."""
    if levels.name not in _INTEGERS:
        return None
    arrays = {name: np.asarray(one) for name, one in leaves(weights)}
    found: dict[tuple[tuple[int, ...], bytes], Kernel] = {}
    for packing in packings(Compression(weights=levels), arrays):
        if packing.bits:
            array = arrays[packing.name]
            kernel = in_whole_numbers(array, packing.bits, by_channel=packing.by_channel)
            if kernel is None:
                return None
            found[key_of(array)] = kernel
    return found


def key_of(array: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    """What names an array among `Kernels`."""
    return array.shape, array.tobytes()


def in_whole_numbers(array: np.ndarray, bits: int, *, by_channel: bool) -> Kernel | None:
    """The whole numbers of these bits that a kernel is; None for another kernel.

    The largest one may be any: trained scales leave some out, and so do units that are cut.
    """
    columns = array.reshape(-1, array.shape[-1] if by_channel else 1)
    largest = np.abs(columns).max(0, initial=0)
    scale, lacks = np.ones_like(largest), largest != 0
    for most in range(2 ** (bits - 1) - 1, 0, -1):
        own = np.where(lacks, largest / np.float32(most), scale)
        fits = lacks & (np.rint(columns / own) * own == columns).all(0)
        scale, lacks = np.where(fits, own, scale), lacks & ~fits
        if not lacks.any():
            numbers = np.rint(columns / scale).astype(np.int8)
            return Kernel(numbers.reshape(array.shape), scale)
    return None


def kept_in(precision: Precision, weights: Any, kernels: Kernels | None = None) -> Any:
    """Weights in few bits, which a program of JAX reads by `as_used`.

    In int8, kernels are whole numbers times a scale of each unit, and float32 as used. Those of
    `kernels` are whole numbers already.
    """
    if precision == "float32":
        return weights

    def kept(path: Any, array: np.ndarray) -> Any:
        if precision == "float16":
            return _half(array)
        if not is_kernel(jax.tree_util.keystr(path, simple=True, separator="/"), array):
            return array
        return (kernels or {}).get(key_of(array)) or _nearest(array)

    return jax.tree_util.tree_map_with_path(kept, weights)


def as_used(weights: Any) -> Any:
    """What `kept_in` gives as a program computes with it; called while JAX traces."""

    def used(one: Any) -> Any:
        if isinstance(one, Kernel):
            return jnp.asarray(one.numbers).astype(jnp.float32) * one.scale
        return one

    return jax.tree.map(used, weights, is_leaf=lambda one: isinstance(one, Kernel))


def _nearest(kernel: np.ndarray) -> Kernel:
    """The whole numbers of 8 bits that are nearest to a kernel, with a scale for each unit."""
    largest = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(0, initial=0)
    scale = np.where(largest != 0, largest / np.float32(_MOST), np.float32(1))
    return Kernel(np.rint(kernel / scale).astype(np.int8), scale)


class _Rows:
    """The features that calibrate, a few rows at a time, as onnxruntime asks for them."""

    def __init__(self, name: str, x: np.ndarray) -> None:
        parts = (x[start : start + _AT_ONCE] for start in range(0, len(x), _AT_ONCE))
        self._parts: Iterator[dict[str, np.ndarray]] = ({name: part} for part in parts)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next rows; None after the last."""
        return next(self._parts, None)


def _in_int8(network: Any, x: np.ndarray) -> Any:
    """The products of a network with weights in int8, each channel of them on a scale of its own.

    The ranges of activations are those of the rows and stay fixed, so that the answer for a row
    does not depend on those beside it.
    """
    import onnx
    from onnxruntime import quantization

    if not any(_products(network.graph)):
        raise NoProductError(
            "--precision int8: the network has no product with weights outside of loops, and "
            "onnxruntime quantises no others: use float16."
        )
    # Shapes are known here already, which the library would recommend to find first.
    ready = onnx.ModelProto()
    ready.CopyFrom(network)
    onnx.helper.set_model_props(ready, {"onnx.quant.pre_process": "onnxruntime.quant"})
    chosen = np.unique(np.linspace(0, len(x) - 1, _CALIBRATING).astype(int))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        disabled = logging.root.manager.disable
        logging.disable(max(disabled, logging.WARNING))
        try:
            quantization.quantize_static(
                ready,
                path,
                _Rows(network.graph.input[0].name, x[chosen]),
                op_types_to_quantize=[*_QUANTISED],
                per_channel=True,
                # The pair of types that processors multiply fastest.
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        finally:
            logging.disable(disabled)
        return onnx.load(path)


def _products(graph: Any) -> Iterable[Any]:
    constants = {tensor.name for tensor in graph.initializer}
    return (
        node
        for node in graph.node
        if node.op_type in _QUANTISED and constants.intersection(node.input)
    )
