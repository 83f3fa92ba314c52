"""An ONNX graph that is built node by node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# onnxruntime 1.23 and later run these.
OPSETS = {"": 23, "ai.onnx.ml": 4, "com.microsoft": 1}
_IR_VERSION = 10
_SMALL = 64


@dataclass
class Body:
    """The outputs of a graph within another, with their types, and that graph once it is whole."""

    outputs: list[tuple[str, Any]] = field(default_factory=list)
    graph: Any = None


class Graph:
    """The nodes, constants, inputs and outputs of a graph, whose first axis is the batch."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._names = 0
        self._constants: dict[str, Any] = {}
        self._small: dict[Any, str] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The output of a new node; operators of other domains are named `domain:Operator`."""
        return self.several(operator, 1, *inputs, **attributes)[0]

    def several(self, operator: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """The outputs of a new node."""
        from onnx import helper  # an extra, which StableHLO does without

        domain, _, name = operator.rpartition(":")
        found = [self.name() for _ in range(outputs)]
        self._nodes.append(
            helper.make_node(name, [*inputs], found, domain=domain or None, **attributes)
        )
        return found

    def name(self) -> str:
        """A name that no other value has."""
        self._names += 1
        return f"value_{self._names}"

    def constant(self, value: Any, kind: Any = None) -> str:
        """A constant array; texts are those of an array of objects. Equal small ones are one."""
        array = np.asarray(value, kind)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= _SMALL else None
        if key is None or array.dtype.kind in "UO":
            return self._new_constant(array)
        if key not in self._small:
            self._small[key] = self._new_constant(array)
        return self._small[key]

    def own_constant(self, value: Any, kind: Any = None) -> str:
        """A constant array that is the input of one node alone, whatever it equals."""
        return self._new_constant(np.asarray(value, kind))

    def array(self, name: str) -> np.ndarray | None:
        """The numbers of a constant; None for another value."""
        from onnx import numpy_helper

        tensor = self._constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def _new_constant(self, array: np.ndarray) -> str:
        from onnx import TensorProto, helper, numpy_helper

        name = f"constant_{len(self._constants)}"
        if array.dtype.kind in "UO":
            texts = [str(one).encode("utf-8", "surrogatepass") for one in array.ravel()]
            tensor = helper.make_tensor(name, TensorProto.STRING, array.shape, texts)
        else:
            tensor = numpy_helper.from_array(array, name)
        self._constants[name] = tensor
        return name

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return [one.name for one in self._inputs]

    def input(self, name: str, kind: Any, shape: Sequence[int]) -> str:
        """An input of the graph, `[batch, *shape]`."""
        self._inputs.append(_value(name, kind, shape))
        return name

    def output(self, value: str, name: str, kind: Any, shape: Sequence[int]) -> None:
        """Make a value an output of the graph, `[batch, *shape]`."""
        from onnx import helper

        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(_value(name, kind, shape))

    @contextmanager
    def body(self, kinds: Sequence[Any]) -> Iterator[tuple[list[str], Body]]:
        """A graph within this one, such as the body of a loop; nodes are added to it meanwhile.

        Back come the names of its inputs, which have these types, and what its outputs go to.
        """
        from onnx import helper

        outer, self._nodes = self._nodes, []
        given, found = [self.name() for _ in kinds], Body()
        try:
            yield given, found
            inputs = [
                helper.make_tensor_value_info(name, number_of(kind), None)
                for name, kind in zip(given, kinds, strict=True)
            ]
            outputs = []
            for value, kind in found.outputs:
                # An output has to be that of a node of its own.
                own = self.add("Identity", value)
                outputs.append(helper.make_tensor_value_info(own, number_of(kind), None))
            found.graph = helper.make_graph(self._nodes, self.name(), inputs, outputs)
        finally:
            self._nodes = outer

    def embed(self, model: Any, prefix: str, value: str) -> str:
        """The only output of another model's graph, whose only input is a value of this one."""
        from onnx import GraphProto, helper

        inner = GraphProto()
        inner.CopyFrom(model.graph)
        _prefix(inner, prefix)
        given, found = inner.input[0].name, inner.output[0].name
        self._nodes.append(helper.make_node("Identity", [value], [given]))
        self._nodes += inner.node
        self._constants |= {tensor.name: tensor for tensor in inner.initializer}
        return str(found)

    def model(self) -> Any:
        """The whole as an ONNX model.

        Raises:
            onnx.checker.ValidationError: for one that is none.
        """
        from onnx import checker, helper

        read = set(inputs_of(self._nodes))
        constants = [tensor for name, tensor in self._constants.items() if name in read]
        graph = helper.make_graph(self._nodes, "hpo", self._inputs, self._outputs, constants)
        opsets = [helper.make_opsetid(name, version) for name, version in OPSETS.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        checker.check_model(model)
        return model


def _prefix(graph: Any, prefix: str) -> None:
    """Begin all names of a graph, and of those within it, with a prefix."""
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = f"{prefix}{value.name}"
    for node in graph.node:
        node.name = node.name and f"{prefix}{node.name}"
        for names in (node.input, node.output):
            names[:] = [name and f"{prefix}{name}" for name in names]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _prefix(attribute.g, prefix)


def inputs_of(nodes: Iterable[Any]) -> Iterator[str]:
    """The values that nodes read, and those in the graphs within them."""
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            yield from inputs_of(attribute.g.node)


def number_of(kind: Any) -> int:
    """The number that ONNX has for a type of NumPy, or for `str`."""
    from onnx import TensorProto, helper

    is_text = kind is str
    return int(TensorProto.STRING if is_text else helper.np_dtype_to_tensor_dtype(np.dtype(kind)))


def _value(name: str, kind: Any, shape: Sequence[int]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, number_of(kind), ["batch", *shape])
