"""Axes of the values in a function of JAX, and which of them are those of a changed shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hpo.trained.exported.translation import is_batch


def is_open(size: Any) -> bool:
    """Whether an axis has the rows of a batch, of which there may be any number."""
    return not isinstance(size, int) or is_batch(size)


def axis_groups(before: Sequence[Any], after: Sequence[Any]) -> list[tuple[list[int], list[int]]]:
    """The axes of a shape with those that hold the same numbers once it is changed.

    `(4, 6)` as `(4, 2, 3)` has the groups `([0], [0])` and `([1], [1, 2])`.
    """
    groups, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        from_, to = i, j
        i, j = min(i + 1, len(before)), min(j + 1, len(after))
        while (here := _product(before[from_:i])) != (there := _product(after[to:j])):
            if is_open(here) or is_open(there):  # which is larger may not be known
                i, j = len(before), len(after)
                break
            if (here < there and i < len(before)) or j == len(after):
                i += 1
            else:
                j += 1
        groups.append(([*range(from_, i)], [*range(to, j)]))
    return groups


def axes_of_slices(equation: Any) -> list[tuple[int, int]] | None:
    """The axes of an array, and those of slices that are taken along another one; None otherwise.

    So the rows of a table are taken that ids tell.
    """
    params = equation.params
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    taken, shape = tuple(numbers.start_index_map), equation.invars[0].aval.shape
    rest = [axis for axis in range(len(shape)) if axis not in taken]
    is_plain = (
        len(taken) == 1
        and tuple(numbers.collapsed_slice_dims) == taken
        and not getattr(numbers, "operand_batching_dims", ())
        and all(sizes[axis] == shape[axis] for axis in rest)
    )
    return [*zip(rest, numbers.offset_dims, strict=True)] if is_plain else None


def axes_of_windows(equation: Any) -> list[int]:
    """The axes along which windows join numbers, or leave some out, or read others around them."""
    params = equation.params
    names = ("window_dimensions", "window_strides", "base_dilation")
    sizes = zip(*(params[name] for name in names), strict=True)
    pads = map(tuple, params["padding"])
    each = enumerate(zip(sizes, pads, strict=True))
    return [axis for axis, (own, pad) in each if own != (1, 1, 1) or pad != (0, 0)]


class Loop(NamedTuple):
    """A function that runs for each row of arrays.

    It takes arrays that stay the same, then a state, then the rows. It gives the next state, and
    rows of other arrays.
    """

    body: Any
    same: int
    state: int


def loop_of(equation: Any) -> Loop | None:
    """The loop that an operation is; None for another one."""
    if equation.primitive.name != "scan" or equation.params["jaxpr"].consts:
        return None
    params = equation.params
    return Loop(params["jaxpr"].jaxpr, params["num_consts"], params["num_carry"])


def _product(sizes: Sequence[Any]) -> Any:
    found: Any = 1
    for size in sizes:
        found = found * size
    return found
