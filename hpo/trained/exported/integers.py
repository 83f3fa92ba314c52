"""Networks in int8 with the levels and ranges that a model has trained with.

A kernel is stored as the whole numbers that it is, beside its scales. Where its inputs are rounded,
too, onnxruntime multiplies whole numbers by whole numbers. Their sums are exact, so that answers
are those of the model but for the rounding of float32.

The operators are those of whole numbers. Around a dense layer `DequantizeLinear` gives no int8:
onnxruntime 1.32 joins the product and the bias before it looks for whole numbers, and multiplies in
float32. Of a kernel alone it makes one that rounds the inputs, which the model does not.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from hpo.engine.models.activations.rounding import Levels
from hpo.trained.exported.graph import Graph, inputs_of
from hpo.trained.exported.network import network
from hpo.trained.exported.operators import OPERATORS, convolved, factors, whole
from hpo.trained.exported.precision import Kernel, Kernels, kernels_of, key_of
from hpo.trained.exported.translation import Operator, Translation, UntranslatedError
from hpo.trained.model import Member, Model

# What of a model's levels is kept.
Kept: TypeAlias = Literal["weights", "weights and activations"]
# ConvInteger takes no other weights than those of uint8, in which this is 0.
_MIDDLE = 128
_MOST_SUM = 2**31 - 1


def levels_kept(model: Model) -> Kept | None:
    """What `integer_network` keeps of a model's levels; None where they are no whole numbers."""
    if any(kernels_of(model.levels, member.weights) is None for member in model.members):
        return None
    is_rounded = model.training.compression.activations.bits is not None
    return "weights and activations" if is_rounded else "weights"


def integer_network(model: Model, member: Member) -> Any:
    """The outputs of a member as an ONNX model in int8; None without whole numbers among weights.

    Weights that the graph does not multiply, such as those of embeddings, are stored as int8, too.

    Raises:
        ExportError: for a model with an operation that has no translation.
    """
    if kernels_of(model.levels, member.weights) is None:
        return None
    kernels: dict[Any, Kernel] = {}

    def operators(weights: Any) -> dict[str, Operator]:
        # Without the units that are cut, a kernel has the same levels.
        kernels.update(kernels_of(model.levels, weights) or {})
        return OPERATORS | _operators(kernels)

    found = network(model, member, operators)
    return _stored(found, kernels)


class _Rounded(NamedTuple):
    """What a layer reads as whole numbers, uint8."""

    codes: str
    zero: str
    levels: Levels


def _operators(kernels: Kernels) -> dict[str, Operator]:
    """The operations of a network that whole numbers change, for one translation."""
    rounded: dict[str, _Rounded] = {}

    def in_levels(to: Translation, equation: Any, x: str) -> str:
        levels = Levels(**equation.params)
        found = _in_levels(to.graph, x, levels)
        unit = to.graph.constant(levels.unit, np.float32)
        name = to.graph.add("DequantizeLinear", found.codes, unit, found.zero)
        rounded[name] = found
        return name

    def both(to: Translation, x: str, y: str) -> tuple[_Rounded, Kernel] | None:
        """The whole numbers of both inputs of a product, if their sums fit into int32."""
        array, found = to.graph.array(y), rounded.get(x)
        kernel = None if array is None else kernels.get(key_of(array))
        if kernel is None or found is None:
            return None
        terms = kernel.numbers.size // kernel.numbers.shape[-1]
        fits = terms * found.levels.most * _MIDDLE <= _MOST_SUM
        return (found, kernel) if fits else None

    def product(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
        (_, over_y), _ = equation.params["dimension_numbers"]
        if (pair := both(to, *inputs)) is not None and tuple(over_y) == (0,):
            x, kernel = pair
            # For some processors onnxruntime makes the weights uint8, and those of a node once.
            numbers = to.graph.own_constant(kernel.numbers)
            if (found := factors(to, equation, x.codes, numbers)) is not None:
                zero = to.graph.own_constant(0, np.int8)
                sums = to.graph.add("MatMulInteger", *found, x.zero, zero)
                return [_scaled(to.graph, sums, x.levels.unit * kernel.scale)]
        return OPERATORS["dot_general"](to, equation, inputs)

    def convolution(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
        _, axes, _ = equation.params["dimension_numbers"]
        if (pair := both(to, *inputs)) is None or axes[0] != len(axes) - 1:
            return OPERATORS["conv_general_dilated"](to, equation, inputs)
        x, kernel = pair

        def build(codes: str, numbers: str, **attributes: Any) -> str:
            middle = to.graph.constant(_MIDDLE, np.uint8)
            sums = to.graph.add("ConvInteger", codes, numbers, x.zero, middle, **attributes)
            scale = x.levels.unit * kernel.scale
            return _scaled(to.graph, sums, scale.reshape(-1, *(1,) * (len(axes) - 2)))

        shifted = to.graph.constant((kernel.numbers.astype(np.int16) + _MIDDLE).astype(np.uint8))
        return [convolved(to, equation, x.codes, shifted, build)]

    return {
        "in_levels": whole(in_levels),
        "dot_general": product,
        "conv_general_dilated": convolution,
    }


def _in_levels(graph: Graph, x: str, levels: Levels) -> _Rounded:
    """Numbers as the places of their levels.

    Raises:
        UntranslatedError: for a range without 0, which no training leaves.
    """
    if not 0 <= levels.zero <= levels.most:
        raise UntranslatedError("a layer reads numbers in a range without 0")
    # QuantizeLinear would divide by the unit, which rounds otherwise than the model does.
    near = graph.add("Mul", x, graph.constant(levels.each, np.float32))
    zero = graph.constant(levels.zero, np.uint8)
    codes = graph.add("QuantizeLinear", near, graph.constant(1, np.float32), zero)
    if levels.most < np.iinfo(np.uint8).max:
        ends = (graph.constant(end, np.uint8) for end in (0, levels.most))
        codes = graph.add("Clip", codes, *ends)
    return _Rounded(codes, zero, levels)


def _scaled(graph: Graph, sums: str, scale: np.ndarray) -> str:
    from onnx import TensorProto

    number = graph.add("Cast", sums, to=TensorProto.FLOAT)
    return graph.add("Mul", number, graph.constant(scale, np.float32))


def _stored(network: Any, kernels: Kernels) -> Any:
    """A network whose kernels are stored in int8, without nodes that nothing reads.

    An engine that starts computes them once: whole numbers times scales of few digits are exact.
    """
    from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

    found = ModelProto()
    found.CopyFrom(network)
    graph, known = found.graph, _in_every_order(kernels)
    read = set(inputs_of(graph.node)) | {one.name for one in graph.output}
    nodes: list[Any] = []
    for node in reversed(graph.node):  # what a node reads comes before it
        if read.intersection(node.output):
            nodes.insert(0, node)
            read.update(inputs_of([node]))
    tensors = []
    for tensor in graph.initializer:
        is_float, name = tensor.data_type == TensorProto.FLOAT, tensor.name
        kernel = known.get(key_of(numpy_helper.to_array(tensor))) if is_float else None
        if kernel is None:
            tensors.append(tensor)
            continue
        names = f"{name}_numbers", f"{name}_scale", f"{name}_float"
        arrays = kernel.numbers, kernel.scale.astype(np.float32)
        tensors += [numpy_helper.from_array(*pair) for pair in zip(arrays, names, strict=False)]
        nodes[:0] = [
            helper.make_node("Cast", [names[0]], [names[2]], to=TensorProto.FLOAT),
            helper.make_node("Mul", [names[2], names[1]], [name]),
        ]
    for field, values in ((graph.node, nodes), (graph.initializer, tensors)):
        copies = [type(one).FromString(one.SerializeToString()) for one in values]
        del field[:]
        field.extend(copies)
    checker.check_model(found, full_check=True)
    return found


def _in_every_order(kernels: Kernels) -> Kernels:
    """Kernels in the orders of axes in which a graph may hold them, with scales that fit."""
    found = {}
    for (shape, data), kernel in kernels.items():
        array = np.frombuffer(data, np.float32).reshape(shape)
        rank = len(shape)
        for order in ((0, 1), (1, 0), (0, 1, 2, 3), (3, 2, 0, 1), tuple(range(rank))):
            if len(order) == rank:
                scale = kernel.scale.reshape((1,) * (rank - 1) + kernel.scale.shape)
                turned = (one.transpose(order) for one in (array, kernel.numbers, scale))
                own, numbers, scale = map(np.ascontiguousarray, turned)
                found[key_of(own)] = Kernel(numbers, scale)
    return found
