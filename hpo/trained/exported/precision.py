"""Networks of fewer bits: an ONNX graph in float16, or with products in int8."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from hpo.errors import HpoError

Precision: TypeAlias = Literal["float32", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# The largest difference of answers from the model's that is usual: of chances from 1, of
# quantities in deviations of the target.
TOLERANCES: dict[Precision, float] = {"float32": 1e-5, "float16": 0.02, "int8": 0.25}
# Rows whose activations say which range int8 has to hold.
_CALIBRATING = 512
_AT_ONCE = 64
_QUANTISED = ("MatMul", "Conv")
# The numbers of float16 that are furthest from zero and nearest to it.
_LARGEST, _SMALLEST = 65504.0, 2.0**-24


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
