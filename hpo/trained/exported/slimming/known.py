"""What is known of the values in a function of JAX, whatever it reads.

A unit that is cut answers a constant, and so do the operations after it, up to the next sum. Those
constants are followed here, from the weights on. `RULES` has the operations by their names; of
what another one gives nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from hpo.trained.exported.slimming.shapes import (
    Loop,
    axes_of_slices,
    axes_of_windows,
    axis_groups,
    is_open,
    loop_of,
)

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Known(NamedTuple):
    """The numbers of a value, and where they are known; elsewhere they are 0.

    Along an axis of size 1 all are the same.
    """

    numbers: np.ndarray
    where: np.ndarray

    @property
    def is_zero(self) -> np.ndarray:
        """Where a value is known to be 0."""
        found: np.ndarray = self.where & (self.numbers == 0)
        return found


# What is known of the outputs of an operation, from what is known of its inputs.
Rule = Callable[[Any, Sequence[Known]], "Known | list[Known] | None"]


def all_known(numbers: Any) -> Known:
    """An array of which everything is known."""
    array = np.asarray(numbers)
    return Known(array, np.ones(array.shape, bool))


def nothing_known(atom: Any) -> Known:
    """What is known of any other value."""
    sizes, kind = (1,) * len(atom.aval.shape), atom.aval.dtype
    is_key = jnp.issubdtype(kind, jax.dtypes.extended)  # of random numbers, no type of NumPy
    return Known(np.zeros(sizes, bool if is_key else kind), np.zeros(sizes, bool))


def what_is_known(jaxpr: Any, weights: Sequence[Any]) -> dict[Any, Known]:
    """What is known of the variables of a function whose inputs are weights and, last, `x`."""
    *own, x = jaxpr.invars
    found = dict(zip(own, map(all_known, weights), strict=True)) | {x: nothing_known(x)}
    _follow(jaxpr, found)
    return found


def _follow(jaxpr: Any, found: dict[Any, Known]) -> None:
    """Add what is known of the variables of a function to that of its inputs."""
    for equation in jaxpr.eqns:
        inputs = [known_of(atom, found) for atom in equation.invars]
        rule, loop = RULES.get(equation.primitive.name), loop_of(equation)
        if loop is not None:
            known: Any = _looped(loop, inputs, found)
        else:
            known = None if rule is None else rule(equation, inputs)
        each = known if isinstance(known, list) else [known] * len(equation.outvars)
        for variable, one in zip(equation.outvars, each, strict=True):
            is_known = one is not None and one.where.any()
            found[variable] = one if is_known else nothing_known(variable)


def _looped(loop: Loop, inputs: Sequence[Known], found: dict[Any, Known]) -> list[Known]:
    """What each step of a loop leaves as it was, and what it gives for each row."""
    body, end = loop.body, loop.same + loop.state
    state = [*inputs[loop.same : end]]
    rows = [Known(*(a.squeeze(0) for a in _same_along(one, [0]))) for one in inputs[end:]]
    is_settled = False
    while not is_settled:
        given = zip(body.invars, (*inputs[: loop.same], *state, *rows), strict=True)
        found |= given
        _follow(body, found)
        after = [known_of(atom, found) for atom in body.outvars]
        pairs = zip(state, after, strict=False)
        kept = [_in_both(*pair) for pair in pairs]
        # Each round that changes anything leaves less that is known.
        is_settled = all((a.where == b.where).all() for a, b in zip(kept, state, strict=True))
        state = kept
    return [*state, *(Known(*(a[None] for a in one)) for one in after[loop.state :])]


def _in_both(one: Known, other: Known) -> Known:
    """What is known, and the same, of two values."""
    where = one.where & other.where & (one.numbers == other.numbers)
    zero = np.zeros((), one.numbers.dtype)
    return Known(np.where(where, one.numbers, zero), where)


def known_of(atom: Any, found: Mapping[Any, Known]) -> Known:
    """What is known of a variable, or of a number that the function holds."""
    if isinstance(atom, core.Literal):
        aval: Any = atom.aval
        return all_known(np.asarray(atom.val, aval.dtype))
    return found[atom]


def factors(equation: Any, inputs: Sequence[Known]) -> tuple[Known, Known]:
    """The factors of a sum of products, those that a convolution reads the same at each place."""
    x, kernel = inputs
    if equation.primitive.name == "dot_general":
        return x, kernel
    rows, _, *inner = equation.params["dimension_numbers"][0]
    return _same_along(x, (rows, *inner)), kernel


def reads_zeros(equation: Any) -> bool:
    """Whether a convolution reads zeros around or within an image at some places."""
    if equation.primitive.name == "dot_general":
        return False
    params = equation.params
    is_whole = all(tuple(pads) == (0, 0) for pads in params["padding"])
    return not is_whole or any(one != 1 for one in params["lhs_dilation"])


def sum_of_products(equation: Any, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What a product or a convolution makes of arrays that `factors` gives, float64."""
    params = equation.params
    x, kernel = (np.asarray(one, np.float64) for one in (x, kernel))
    if equation.primitive.name == "dot_general":
        return _product(equation, x, kernel)
    # A kernel of one number everywhere counts at each place of its window.
    kernel = np.broadcast_to(kernel, equation.invars[1].aval.shape)
    _, (last, first, *_), to_out = params["dimension_numbers"]
    groups = params["feature_group_count"]
    kernel = np.moveaxis(kernel, (first, last), (0, 1)).sum(tuple(range(2, kernel.ndim)))
    size = groups * kernel.shape[0]
    x = np.broadcast_to(x.reshape(-1), size).reshape(groups, -1)
    found: np.ndarray = np.einsum("gi,igo->go", x, kernel.reshape(len(kernel), groups, -1))
    sizes = [-1 if axis == to_out[1] else 1 for axis in range(len(to_out))]
    return found.reshape(sizes)


def _product(equation: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    (over_x, over_y), (batch_x, batch_y) = equation.params["dimension_numbers"]
    letters = iter(_LETTERS)
    names_x, names_y = [next(letters) for _ in x.shape], [""] * y.ndim
    sizes_x, sizes_y = [*x.shape], [*y.shape]
    for one, other in zip((*over_x, *batch_x), (*over_y, *batch_y), strict=True):
        names_y[other] = names_x[one]
        sizes_x[one] = sizes_y[other] = max(x.shape[one], y.shape[other])
    for one, other in zip(over_x, over_y, strict=True):  # as many terms, where all are the same
        sizes_x[one] = sizes_y[other] = equation.invars[0].aval.shape[one]
    names_y = [name or next(letters) for name in names_y]
    rest_x = [name for i, name in enumerate(names_x) if i not in (*over_x, *batch_x)]
    rest_y = [name for i, name in enumerate(names_y) if i not in (*over_y, *batch_y)]
    out = "".join([*(names_x[i] for i in batch_x), *rest_x, *rest_y])
    x, y = np.broadcast_to(x, sizes_x), np.broadcast_to(y, sizes_y)
    named = f"{''.join(names_x)},{''.join(names_y)}->{out}"
    found: np.ndarray = np.einsum(named, x, y, optimize=True)  # by a library for matrices
    return found


def is_summed_plainly(equation: Any) -> bool:
    """Whether a product or convolution of real numbers sums over one axis, of known size."""
    if np.issubdtype(equation.outvars[0].aval.dtype, np.complexfloating):
        return False
    if equation.primitive.name != "dot_general":
        return bool(equation.params["batch_group_count"] == 1)
    (over, _), _ = equation.params["dimension_numbers"]
    return len(over) == 1 and not is_open(equation.invars[0].aval.shape[over[0]])


def _of_sums(equation: Any, inputs: Sequence[Known]) -> Known | None:
    """A sum is known if each of its terms is: both factors are known, or one is 0."""
    if not is_summed_plainly(equation):
        return None
    x, kernel = factors(equation, inputs)
    if reads_zeros(equation):  # so that a sum of others is not the same everywhere
        x = Known(x.numbers * x.is_zero, x.is_zero)
    counted = [~one.is_zero for one in (x, kernel)]
    known = [one.where & ~one.is_zero for one in (x, kernel)]
    where = sum_of_products(equation, *counted) == sum_of_products(equation, *known)
    numbers = sum_of_products(equation, x.numbers, kernel.numbers)
    kind = equation.outvars[0].aval.dtype
    return Known(np.where(where, numbers, 0).astype(kind), where)


def _each(equation: Any, inputs: Sequence[Known]) -> Known | None:
    """An operation element by element."""
    rank = len(equation.outvars[0].aval.shape)
    lifted = [Known(*(np.reshape(a, a.shape or (1,) * rank) for a in one)) for one in inputs]
    wheres = np.broadcast_arrays(*(one.where for one in lifted))
    where = np.logical_and.reduce(wheres)
    if not where.any():
        return None
    given = np.broadcast_arrays(*(one.numbers for one in lifted))
    numbers = np.asarray(equation.primitive.bind(*given, **equation.params))
    return Known(np.where(where, numbers, np.zeros((), numbers.dtype)), where)


def _multiplied(equation: Any, inputs: Sequence[Known]) -> Known | None:
    """A factor of 0 gives 0."""
    found, (x, y) = _each(equation, inputs), inputs
    is_zero = x.is_zero | y.is_zero
    if not is_zero.any():
        return found
    if found is None:
        kind = equation.outvars[0].aval.dtype
        rank = len(equation.outvars[0].aval.shape)
        is_zero = is_zero.reshape(is_zero.shape or (1,) * rank)
        return Known(np.zeros(is_zero.shape, kind), is_zero)
    return Known(*np.broadcast_arrays(found.numbers, found.where | is_zero))


def _chosen(equation: Any, inputs: Sequence[Known]) -> Known | None:
    """A choice is known, too, where all cases are the same."""
    found, (_, first, *others) = _each(equation, inputs), inputs
    same = first.where
    for one in others:
        same = same & one.where & (one.numbers == first.numbers)
    if found is not None or not same.any():
        return found
    return Known(np.where(same, first.numbers, np.zeros((), first.numbers.dtype)), same)


def _repeated(equation: Any, inputs: Sequence[Known]) -> Known:
    sizes = [1] * len(equation.params["shape"])
    for axis, size in zip(
        equation.params["broadcast_dimensions"], inputs[0].where.shape, strict=True
    ):
        sizes[axis] = size
    return Known(*(one.reshape(sizes) for one in inputs[0]))


def _reshaped(equation: Any, inputs: Sequence[Known]) -> Known | None:
    (x,), before = inputs, equation.invars[0].aval.shape
    after, sizes = equation.outvars[0].aval.shape, []
    written: dict[int, int] = {}
    for from_, to in axis_groups(before, after):
        if all(x.where.shape[axis] == 1 for axis in from_):
            sizes += [1] * len(to)
        elif any(is_open(before[axis]) for axis in from_):
            return None
        else:
            written |= {axis: before[axis] for axis in from_}
            sizes += [after[axis] for axis in to]
    return Known(*(one.reshape(sizes) for one in _with_sizes(x, written)))


def _transposed(equation: Any, inputs: Sequence[Known]) -> Known:
    return Known(*(one.transpose(equation.params["permutation"]) for one in inputs[0]))


def _sliced(equation: Any, inputs: Sequence[Known]) -> Known:
    params, shape = equation.params, inputs[0].where.shape
    steps = params["strides"] or (1,) * len(shape)
    cuts = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    whole = slice(None)
    place = tuple(
        whole if size == 1 else slice(*cut) for size, cut in zip(shape, cuts, strict=True)
    )
    return Known(*(one[place] for one in inputs[0]))


def _padded(equation: Any, inputs: Sequence[Known]) -> Known | None:
    """Numbers around others, along the last axis or where they are the same as within."""
    x, value = inputs
    config, shape = equation.params["padding_config"], equation.invars[0].aval.shape
    pads = [(low, high) for low, high, _ in config]
    if any(inside for _, _, inside in config) or min(map(min, pads)) < 0:
        return None
    wide = [axis for axis in range(len(shape)) if x.where.shape[axis] > 1 or axis + 1 == len(shape)]
    if any(is_open(shape[axis]) for axis in wide):
        return None
    others = [axis for axis, pad in enumerate(pads) if pad != (0, 0) and axis not in wide]
    if others:
        fits = x.where & value.where & (x.numbers == value.numbers)
        x = Known(x.numbers * fits, fits)
    x = _with_sizes(x, {axis: shape[axis] for axis in wide if pads[axis] != (0, 0)})
    pads = [pad if axis in wide else (0, 0) for axis, pad in enumerate(pads)]
    return Known(*(np.pad(one, pads, constant_values=v) for one, v in zip(x, value, strict=True)))


def _joined(equation: Any, inputs: Sequence[Known]) -> Known | None:
    axis = equation.params["dimension"]
    shapes = [atom.aval.shape for atom in equation.invars]
    if any(is_open(shape[axis]) for shape in shapes):
        return None
    wide = [_with_sizes(x, {axis: s[axis]}) for x, s in zip(inputs, shapes, strict=True)]
    sizes = np.max([one.where.shape for one in wide], axis=0)
    parts = [
        _with_sizes(one, {i: size for i, size in enumerate(sizes.tolist()) if i != axis})
        for one in wide
    ]
    return Known(*(np.concatenate(each, axis) for each in zip(*parts, strict=True)))


def _parted(equation: Any, inputs: Sequence[Known]) -> list[Known]:
    axis, sizes = equation.params["axis"], equation.params["sizes"]
    if inputs[0].where.shape[axis] == 1:
        return [inputs[0]] * len(sizes)
    ends = np.cumsum(sizes)[:-1]
    parts = (np.split(array, ends, axis) for array in inputs[0])
    return [Known(*pair) for pair in zip(*parts, strict=True)]


def _taken(equation: Any, inputs: Sequence[Known]) -> Known | None:
    """The rows of a table."""
    if (pairs := axes_of_slices(equation)) is None:
        return None
    held = {axis for axis, _ in pairs}
    shape = inputs[0].where.shape
    row = _same_along(inputs[0], [axis for axis in range(len(shape)) if axis not in held])
    sizes = [1] * len(equation.outvars[0].aval.shape)
    for axis, place in pairs:
        sizes[place] = shape[axis]
    return Known(*(one.reshape(sizes) for one in row))


def _squeezed(equation: Any, inputs: Sequence[Known]) -> Known:
    return Known(*(one.squeeze(equation.params["dimensions"]) for one in inputs[0]))


def _added_up(equation: Any, inputs: Sequence[Known]) -> Known | None:
    axes, shape = equation.params["axes"], equation.invars[0].aval.shape
    if any(is_open(shape[axis]) for axis in axes):
        return None
    x = inputs[0]
    count = math.prod(shape[axis] for axis in axes if x.where.shape[axis] == 1)
    numbers = x.numbers.sum(axes) * np.asarray(count, x.numbers.dtype)
    where = x.where.all(axes)
    return Known(np.where(where, numbers, 0).astype(x.numbers.dtype), where)


def _largest(equation: Any, inputs: Sequence[Known]) -> Known:
    axes = equation.params["axes"]
    return Known(*(one.squeeze(axes) for one in _same_along(inputs[0], axes)))


def _largest_of_windows(equation: Any, inputs: Sequence[Known]) -> Known | None:
    """The padding of a window is less than any number."""
    params = equation.params
    pads = zip(params["padding"], params["window_dimensions"], strict=True)
    # So each window reads a number that is no padding.
    is_plain = all(max(pad) < size for pad, size in pads) and not _is_dilated(params)
    return _same_along(inputs[0], axes_of_windows(equation)) if is_plain else None


def _sum_of_windows(equation: Any, inputs: Sequence[Known]) -> Known:
    """A window over zeros around or within an image has a sum of its own, but of zeros."""
    params = equation.params
    x = _same_along(inputs[0], axes_of_windows(equation))
    if any(tuple(pads) != (0, 0) for pads in params["padding"]) or _is_dilated(params):
        return Known(x.numbers * x.is_zero, x.is_zero)
    size = math.prod(params["window_dimensions"])
    return Known(x.numbers * np.asarray(size, x.numbers.dtype), x.where)


def _is_dilated(params: Any) -> bool:
    return any(one != 1 for one in (*params["base_dilation"], *params["window_dilation"]))


def _same_along(known: Known, axes: Sequence[int]) -> Known:
    """What is known and the same along axes, which then have size 1."""
    over = tuple(axes)
    low, high = (one(known.numbers, axis=over, keepdims=True) for one in (np.min, np.max))
    where = known.where.all(over, keepdims=True) & (low == high)
    return Known(np.where(where, low, np.zeros((), low.dtype)), where)


def _with_sizes(known: Known, sizes: Mapping[int, int]) -> Known:
    """The same with axes that are written out to these sizes."""
    shape = [sizes.get(axis, size) for axis, size in enumerate(known.where.shape)]
    return Known(*(np.broadcast_to(one, shape) for one in known))


# Operations that work element by element.
EACH = frozenset(
    (
        *("abs", "add", "sub", "mul", "div", "rem", "max", "min", "pow", "integer_pow", "square"),
        *("exp", "exp2", "log", "log1p", "expm1", "sqrt", "rsqrt", "cbrt", "neg", "sign", "floor"),
        *("ceil", "round", "erf", "erfc", "logistic", "sin", "cos", "tan", "asin", "acos", "atan"),
        *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "atan2", "and", "or", "xor", "not"),
        *("eq", "ne", "lt", "le", "gt", "ge", "is_finite", "convert_element_type", "select_n"),
        *("clamp", "stop_gradient", "copy", "reduce_precision", "in_levels"),
    )
)
RULES: dict[str, Rule] = {
    **dict.fromkeys(EACH, _each),
    "mul": _multiplied,
    "select_n": _chosen,
    "dot_general": _of_sums,
    "conv_general_dilated": _of_sums,
    "broadcast_in_dim": _repeated,
    "reshape": _reshaped,
    "transpose": _transposed,
    "slice": _sliced,
    "pad": _padded,
    "concatenate": _joined,
    "split": _parted,
    "squeeze": _squeezed,
    "gather": _taken,
    "reduce_sum": _added_up,
    "reduce_max": _largest,
    "reduce_window_max": _largest_of_windows,
    "reduce_window_sum": _sum_of_windows,
}
