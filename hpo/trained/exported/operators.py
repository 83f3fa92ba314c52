"""What each operation of JAX is in ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from hpo.engine.models.activations.rounding import Levels
from hpo.trained.exported.graph import number_of
from hpo.trained.exported.translation import Operator, Translation, UntranslatedError, is_batch

_FULL = 1 << 62  # the end of every axis
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _shape(atom: Any) -> tuple[int, ...]:
    return tuple(atom.aval.shape)


def _each(build: Callable[..., str]) -> Operator:
    """An operation that works element by element; ONNX repeats its inputs along axes of size 1."""

    def operator(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
        rank = len(_shape(equation.outvars[0]))
        is_full = [
            len(_shape(atom)) == rank and not to.is_repeated(value)
            for atom, value in zip(equation.invars, inputs, strict=True)
        ]
        if rank and not any(is_full):
            place = next(i for i, atom in enumerate(equation.invars) if len(_shape(atom)) == rank)
            inputs = [to.whole(one) if i == place else one for i, one in enumerate(inputs)]
        return [build(to, equation, *inputs)]

    return operator


def _named(name: str, **attributes: Any) -> Operator:
    return _each(lambda to, _, *inputs: to.graph.add(name, *inputs, **attributes))


def _negated(name: str) -> Operator:
    return _each(lambda to, _, *inputs: to.graph.add("Not", to.graph.add(name, *inputs)))


def _with_one(build: Callable[[Any, str, str], str]) -> Operator:
    """An operation of a value and the number 1 in its type."""

    def whole(to: Translation, equation: Any, x: str) -> str:
        return build(to.graph, x, to.graph.constant(1, equation.invars[0].aval.dtype))

    return _each(whole)


def _power(to: Translation, equation: Any, x: str) -> str:
    power = equation.params["y"]
    if power == 2:
        return to.graph.add("Mul", x, x)
    return to.graph.add("Pow", x, to.graph.constant(power, equation.invars[0].aval.dtype))


def _is_finite(to: Translation, equation: Any, x: str) -> str:
    graph = to.graph
    return graph.add("Not", graph.add("Or", graph.add("IsNaN", x), graph.add("IsInf", x)))


def _cast(to: Translation, equation: Any, x: str) -> str:
    kind = equation.outvars[0].aval.dtype
    if equation.invars[0].aval.dtype == kind:
        return to.graph.add("Identity", x)
    return to.graph.add("Cast", x, to=number_of(kind))


def _select(to: Translation, equation: Any, *inputs: str) -> str:
    condition, *cases = inputs
    if len(cases) != 2 or equation.invars[0].aval.dtype != np.bool_:
        raise UntranslatedError(f"a choice among {len(cases)} values has no translation to ONNX")
    # A value beside its own copy, which has no gradient; onnxruntime 1.32 may lose such a value.
    if cases[0] == cases[1]:
        return cases[0]
    return to.graph.add("Where", condition, cases[1], cases[0])


def _clamp(to: Translation, equation: Any, low: str, x: str, high: str) -> str:
    return to.graph.add("Min", to.graph.add("Max", x, low), high)


def whole(build: Callable[..., str]) -> Operator:
    """An operation whose inputs have their full shapes, and which has one output."""

    def operator(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
        return [build(to, equation, *map(to.whole, inputs))]

    return operator


def _reshape(to: Translation, equation: Any, x: str) -> str:
    return _reshaped(to, x, _shape(equation.outvars[0]))


def _reshaped(to: Translation, x: str, shape: Sequence[int]) -> str:
    if sum(map(is_batch, shape)) == 1:
        sizes = [-1 if is_batch(size) else size for size in shape]
        return to.graph.add("Reshape", x, to.graph.constant(sizes, np.int64))
    return to.graph.add("Reshape", x, to.shape(shape))


def _broadcast(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
    own, shape = _shape(equation.invars[0]), _shape(equation.outvars[0])
    places = equation.params["broadcast_dimensions"]
    x = to.whole(inputs[0])
    sizes = [1] * len(shape)
    for place, size in zip(places, own, strict=True):
        sizes[place] = size
    if sizes != [*own]:
        x = _reshaped(to, x, sizes)
    return [x if sizes == [*shape] else to.repeat(x, shape)]


def _transpose(to: Translation, equation: Any, x: str) -> str:
    return _transposed(to, x, equation.params["permutation"])


def _transposed(to: Translation, x: str, order: Sequence[int]) -> str:
    if [*order] == sorted(order):
        return x
    # Weights are stored as the engine takes them, because its int8 operators ask for that.
    known = to.graph.array(x)
    if known is not None:
        return to.graph.constant(np.ascontiguousarray(known.transpose(order)))
    return to.graph.add("Transpose", x, perm=[*order])


def factors(to: Translation, equation: Any, x: str, y: str) -> tuple[str, str] | None:
    """The inputs of a product by a matrix as MatMul takes them; None for another product."""
    (over_x, over_y), (batch_x, _) = equation.params["dimension_numbers"]
    rank_x, rank_y = len(_shape(equation.invars[0])), len(_shape(equation.invars[1]))
    if batch_x or len(over_x) != 1 or rank_y != 2:
        return None
    (axis,) = over_x
    order = [place for place in range(rank_x) if place != axis] + [axis]
    y = _transposed(to, y, (0, 1) if over_y[0] == 0 else (1, 0))
    return _transposed(to, x, order), y


def _product(to: Translation, equation: Any, x: str, y: str) -> str:
    if (pair := factors(to, equation, x, y)) is not None:
        return to.graph.add("MatMul", *pair)
    (over_x, over_y), (batch_x, batch_y) = equation.params["dimension_numbers"]
    rank_x, rank_y = len(_shape(equation.invars[0])), len(_shape(equation.invars[1]))
    letters = iter(_LETTERS)
    names_x = [next(letters) for _ in range(rank_x)]
    names_y = [""] * rank_y
    for one, other in zip((*over_x, *batch_x), (*over_y, *batch_y), strict=True):
        names_y[other] = names_x[one]
    names_y = [name or next(letters) for name in names_y]
    rest_x = [name for i, name in enumerate(names_x) if i not in (*over_x, *batch_x)]
    rest_y = [name for i, name in enumerate(names_y) if i not in (*over_y, *batch_y)]
    found = "".join([*(names_x[i] for i in batch_x), *rest_x, *rest_y])
    equation_text = f"{''.join(names_x)},{''.join(names_y)}->{found}"
    return to.graph.add("Einsum", x, y, equation=equation_text)


def convolved(
    to: Translation, equation: Any, x: str, kernel: str, build: Callable[..., str]
) -> str:
    """What `build` makes of the inputs and attributes of a convolution, as Conv has them.

    Raises:
        UntranslatedError: for a transposed convolution.
    """
    params = equation.params
    if params["batch_group_count"] != 1 or any(one != 1 for one in params["lhs_dilation"]):
        raise UntranslatedError("a transposed convolution has no translation to ONNX")
    from_x, from_kernel, to_out = params["dimension_numbers"]
    pads = params["padding"]
    found = build(
        _transposed(to, x, from_x),
        _transposed(to, kernel, from_kernel),
        strides=[*params["window_strides"]],
        dilations=[*params["rhs_dilation"]],
        pads=[*(low for low, _ in pads), *(high for _, high in pads)],
        group=params["feature_group_count"],
    )
    return _transposed(to, found, np.argsort(to_out).tolist())


def _convolution(to: Translation, equation: Any, x: str, kernel: str) -> str:
    return convolved(to, equation, x, kernel, partial(to.graph.add, "Conv"))


def _pooling(name: str) -> Operator:
    """The largest, or the sum, of each window of images whose channels come last."""

    def pool(to: Translation, equation: Any, x: str) -> str:
        params = equation.params
        window, strides, pads = (
            params[key] for key in ("window_dimensions", "window_strides", "padding")
        )
        dilations = (*params["base_dilation"], *params["window_dilation"])
        ends = (0, len(window) - 1)
        is_plain = all(window[i] == strides[i] == 1 and pads[i] == (0, 0) for i in ends)
        if len(window) < 3 or not is_plain or any(one != 1 for one in dilations):
            raise UntranslatedError("windows over channels or rows have no translation to ONNX")
        inner = [*range(1, len(window) - 1)]
        found = to.graph.add(
            name,
            _transposed(to, x, [0, ends[1], *inner]),
            kernel_shape=[window[i] for i in inner],
            strides=[strides[i] for i in inner],
            pads=[*(pads[i][0] for i in inner), *(pads[i][1] for i in inner)],
            **({} if name == "MaxPool" else {"count_include_pad": 1}),
        )
        if name == "AveragePool":
            count = to.graph.constant(math.prod(window), equation.outvars[0].aval.dtype)
            found = to.graph.add("Mul", found, count)
        return _transposed(to, found, [0, *(i + 1 for i in inner), 1])

    return whole(pool)


def _reduced(name: str, *, is_truth: bool = False) -> Operator:
    def reduce(to: Translation, equation: Any, x: str) -> str:
        axes = to.graph.constant(equation.params["axes"], np.int64)
        if not is_truth:
            return to.graph.add(name, x, axes, keepdims=0)
        number = to.graph.add("Cast", x, to=number_of(np.int32))
        found = to.graph.add(name, number, axes, keepdims=0)
        return to.graph.add("Cast", found, to=number_of(np.bool_))

    return whole(reduce)


def _place_of(name: str) -> Operator:
    def place(to: Translation, equation: Any, x: str) -> str:
        (axis,) = equation.params["axes"]
        found = to.graph.add(name, x, axis=axis, keepdims=0)
        return to.graph.add("Cast", found, to=number_of(equation.params["index_dtype"]))

    return whole(place)


def _sums_so_far(to: Translation, equation: Any, x: str) -> str:
    axis = to.graph.constant(equation.params["axis"], np.int64)
    return to.graph.add("CumSum", x, axis, reverse=int(equation.params["reverse"]))


def _sliced(to: Translation, x: str, cuts: Sequence[tuple[int, int, int, int]]) -> str:
    """Cuts of an array: the axis, the start, the end and the step of each."""
    if not cuts:
        return to.graph.add("Identity", x)
    parts = zip(*cuts, strict=True)
    axes, starts, ends, steps = (to.graph.constant(part, np.int64) for part in parts)
    return to.graph.add("Slice", x, starts, ends, axes, steps)


def _slice(to: Translation, equation: Any, x: str) -> str:
    params = equation.params
    sizes = _shape(equation.invars[0])
    steps = params["strides"] or (1,) * len(sizes)
    cuts = [
        (axis, start, _FULL if end == size else end, step)
        for axis, (start, end, step, size) in enumerate(
            zip(params["start_indices"], params["limit_indices"], steps, sizes, strict=True)
        )
        if (start, end, step) != (0, size, 1)
    ]
    return _sliced(to, x, cuts)


def _slice_from(to: Translation, equation: Any, x: str, *starts: str) -> str:
    """A slice of fixed size whose start is a value, moved so that it stays within the array."""
    graph, sizes, shape = to.graph, equation.params["slice_sizes"], _shape(equation.invars[0])
    for axis, (size, full, start) in enumerate(zip(sizes, shape, starts, strict=True)):
        if size == full:
            continue
        first = graph.add("Cast", start, to=number_of(np.int64))
        first = graph.add("Max", first, graph.constant(0, np.int64))
        first = graph.add("Min", first, graph.constant(full - size, np.int64))
        first = graph.add("Reshape", first, graph.constant([1], np.int64))
        end = graph.add("Add", first, graph.constant([size], np.int64))
        x = graph.add("Slice", x, first, end, graph.constant([axis], np.int64))
    return graph.add("Identity", x)


def _reversed(to: Translation, equation: Any, x: str) -> str:
    cuts = [(axis, -1, -_FULL, -1) for axis in equation.params["dimensions"]]
    return _sliced(to, x, cuts)


def _padded(to: Translation, equation: Any, x: str, value: str) -> str:
    config = equation.params["padding_config"]
    if any(inside for _, _, inside in config):
        raise UntranslatedError("padding between elements has no translation to ONNX")
    for axis, (low, high, _) in enumerate(config):
        if low < 0 or high < 0:
            x = _sliced(to, x, [(axis, max(-low, 0), high if high < 0 else _FULL, 1)])
    pads = [*(max(low, 0) for low, _, _ in config), *(max(high, 0) for _, high, _ in config)]
    return to.graph.add("Pad", x, to.graph.constant(pads, np.int64), value)


def _sorted(to: Translation, equation: Any, x: str, *others: str) -> str:
    if others:
        raise UntranslatedError("sorting one array by another has no translation to ONNX")
    params, shape = equation.params, _shape(equation.invars[0])
    axis = params["dimension"]
    count = to.graph.constant([shape[axis]], np.int64)
    return to.graph.several("TopK", 2, x, count, axis=axis, largest=0, sorted=1)[0]


def _in_levels(to: Translation, equation: Any, x: str) -> str:
    """Numbers as the nearest of `Levels`, in float32."""
    graph, (unit, each, zero, most) = to.graph, (equation.params[one] for one in Levels._fields)
    near = graph.add("Round", graph.add("Mul", x, graph.constant(each, np.float32)))
    ends = (graph.constant(end, np.float32) for end in (-zero, most - zero))
    return graph.add("Mul", graph.add("Clip", near, *ends), graph.constant(unit, np.float32))


def _split(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
    sizes = to.graph.constant(equation.params["sizes"], np.int64)
    count, axis = len(equation.outvars), equation.params["axis"]
    return to.graph.several("Split", count, to.whole(inputs[0]), sizes, axis=axis)


def _gather(to: Translation, equation: Any, x: str, places: str) -> str:
    """Whole slices of an array at places along one axis."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    shape, rank = _shape(equation.invars[0]), len(_shape(equation.outvars[0]))
    axes = tuple(numbers.start_index_map)
    is_plain = (
        len(axes) == 1
        and tuple(numbers.collapsed_slice_dims) == axes
        and not getattr(numbers, "operand_batching_dims", ())
        and all(sizes[i] == shape[i] for i in range(len(shape)) if i != axes[0])
    )
    if not is_plain:
        raise UntranslatedError("indexing along several axes has no translation to ONNX")
    (axis,), index_shape = axes, _shape(equation.invars[1])[:-1]
    index = to.graph.add("Squeeze", places, to.graph.constant([-1], np.int64))
    found = to.graph.add("Gather", x, index, axis=axis)
    # The axes of the indices stand where the axis was, and belong where no slice's axis is.
    inside = [*range(axis, axis + len(index_shape))]
    outside = [place for place in range(rank) if place not in inside]
    order = [0] * rank
    rest = [place for place in range(rank) if place not in numbers.offset_dims]
    for target, source in zip([*rest, *numbers.offset_dims], [*inside, *outside], strict=True):
        order[target] = source
    return _transposed(to, found, order)


def _counted(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
    """The places along an axis, repeated along the others."""
    shape, axis = _shape(equation.outvars[0]), equation.params["dimension"]
    if is_batch(shape[axis]):
        raise UntranslatedError("counting the rows of a batch has no translation to ONNX")
    sizes = [shape[axis] if place == axis else 1 for place in range(len(shape))]
    places = np.arange(shape[axis], dtype=equation.outvars[0].aval.dtype).reshape(sizes)
    return [to.repeat(to.graph.constant(places), shape)]


def _scan(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
    """A loop over the first axis of arrays."""
    params, graph = equation.params, to.graph
    inner = getattr(params["jaxpr"], "jaxpr", params["jaxpr"])
    # Releases of JAX name these counts differently; an array of the loop has an axis more.
    scanned = _with_more_axes(equation.invars, inner.invars)
    collected = _with_more_axes(equation.outvars, inner.outvars)
    consts = len(inputs) - scanned - (len(equation.outvars) - collected)
    if not scanned:
        raise UntranslatedError("a loop over no array has no translation to ONNX")
    inputs = [to.whole(one) for one in inputs]
    kinds = [atom.aval.dtype for atom in equation.invars[consts:]]
    with graph.body(kinds) as (given, body):
        found = to.inner(params["jaxpr"], [*inputs[:consts], *given])
        outputs = zip(map(to.whole, found), equation.outvars, strict=True)
        body.outputs = [(value, atom.aval.dtype) for value, atom in outputs]
    backwards = int(params["reverse"])
    return graph.several(
        "Scan",
        len(equation.outvars),
        *inputs[consts:],
        body=body.graph,
        num_scan_inputs=scanned,
        scan_input_directions=[backwards] * scanned,
        # ONNX has no empty lists.
        **({"scan_output_directions": [backwards] * collected} if collected else {}),
    )


def _with_more_axes(outer: Sequence[Any], inner: Sequence[Any]) -> int:
    """How many of the values outside a loop have an axis more than those inside."""
    pairs = zip(outer, inner, strict=True)
    return sum(len(_shape(one)) > len(_shape(other)) for one, other in pairs)


def _inlined(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
    params = equation.params
    body = next(params[name] for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in params)
    return to.inner(body, inputs)


def _same(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
    return inputs


def _concatenated(to: Translation, equation: Any, *inputs: str) -> str:
    return to.graph.add("Concat", *inputs, axis=equation.params["dimension"])


def _stacked(to: Translation, equation: Any, *inputs: str) -> str:
    axis = equation.params["axis"]
    place = to.graph.constant([axis], np.int64)
    return to.graph.add("Concat", *(to.graph.add("Unsqueeze", x, place) for x in inputs), axis=axis)


def _tiled(to: Translation, equation: Any, x: str) -> str:
    return to.graph.add("Tile", x, to.graph.constant(equation.params["reps"], np.int64))


def _unstacked(to: Translation, equation: Any, inputs: list[str]) -> list[str]:
    axis, count = equation.params["axis"], len(equation.outvars)
    parts = to.graph.several("Split", count, to.whole(inputs[0]), axis=axis, num_outputs=count)
    return [to.graph.add("Squeeze", one, to.graph.constant([axis], np.int64)) for one in parts]


OPERATORS: dict[str, Operator] = {
    **{
        name.lower(): _named(name)
        for name in (
            *("Abs", "Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Exp", "Log", "Sqrt"),
            *("Neg", "Sign", "Floor", "Ceil", "Round", "Erf", "And", "Or", "Xor", "Not"),
            *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh"),
        )
    },
    "logistic": _named("Sigmoid"),
    "rem": _named("Mod", fmod=1),
    "eq": _named("Equal"),
    "ne": _negated("Equal"),
    "lt": _named("Less"),
    "le": _named("LessOrEqual"),
    "gt": _named("Greater"),
    "ge": _named("GreaterOrEqual"),
    "square": _each(lambda to, _, x: to.graph.add("Mul", x, x)),
    "integer_pow": _each(_power),
    "rsqrt": _each(lambda to, _, x: to.graph.add("Reciprocal", to.graph.add("Sqrt", x))),
    "expm1": _with_one(lambda graph, x, one: graph.add("Sub", graph.add("Exp", x), one)),
    "log1p": _with_one(lambda graph, x, one: graph.add("Log", graph.add("Add", x, one))),
    "erfc": _with_one(lambda graph, x, one: graph.add("Sub", one, graph.add("Erf", x))),
    "is_finite": _each(_is_finite),
    "convert_element_type": _each(_cast),
    "select_n": _each(_select),
    "clamp": _each(_clamp),
    "reshape": whole(_reshape),
    "squeeze": whole(_reshape),
    "broadcast_in_dim": _broadcast,
    "transpose": whole(_transpose),
    "dot_general": whole(_product),
    "conv_general_dilated": whole(_convolution),
    "reduce_window_max": _pooling("MaxPool"),
    "reduce_window_sum": _pooling("AveragePool"),
    "reduce_sum": _reduced("ReduceSum"),
    "reduce_max": _reduced("ReduceMax"),
    "reduce_min": _reduced("ReduceMin"),
    "reduce_prod": _reduced("ReduceProd"),
    "reduce_and": _reduced("ReduceMin", is_truth=True),
    "reduce_or": _reduced("ReduceMax", is_truth=True),
    "argmax": _place_of("ArgMax"),
    "argmin": _place_of("ArgMin"),
    "cumsum": whole(_sums_so_far),
    "concatenate": whole(_concatenated),
    "stack": whole(_stacked),
    "unstack": _unstacked,
    "tile": whole(_tiled),
    "slice": whole(_slice),
    "dynamic_slice": whole(_slice_from),
    "rev": whole(_reversed),
    "pad": whole(_padded),
    "sort": whole(_sorted),
    "in_levels": whole(_in_levels),
    "split": _split,
    "gather": whole(_gather),
    "iota": _counted,
    "scan": _scan,
    **dict.fromkeys(
        ("jit", "checkpoint", "remat2", "custom_jvp_call", "custom_vjp_call"), _inlined
    ),
    **dict.fromkeys(("stop_gradient", "copy", "optimization_barrier"), _same),
}
