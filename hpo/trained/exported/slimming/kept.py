"""Which places of the axes in a function of JAX have to stay; the others may go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from jax.extend import core

from hpo.trained.exported.slimming.known import (
    EACH,
    Known,
    factors,
    is_summed_plainly,
    known_of,
)
from hpo.trained.exported.slimming.shapes import (
    axes_of_slices,
    axes_of_windows,
    axis_groups,
    is_open,
    loop_of,
)
from hpo.trained.exported.translation import read_equations


class Kept:
    """The places of each axis of the variables that stay. They only become more.

    An axis of the rows of a batch has none: all of it stays.
    """

    def __init__(self, found: Mapping[Any, Known]) -> None:
        self.has_grown = False
        self._known = found
        self._places: dict[Any, list[np.ndarray | None]] = {}

    def known(self, atom: Any) -> Known:
        """What is known of a value."""
        return known_of(atom, self._known)

    def of(self, atom: Any) -> list[np.ndarray | None]:
        """The places of a value that stay, by axis."""
        if isinstance(atom, core.Literal):
            return []  # a single number
        if atom not in self._places:
            sizes = atom.aval.shape
            self._places[atom] = [
                None if is_open(size) else np.full(size, size == 1) for size in sizes
            ]
        return self._places[atom]

    def keep(self, atom: Any, axis: int, places: Any = True) -> None:
        """Let these places of an axis stay, too."""
        held = self.of(atom)[axis]
        if held is not None and (new := held | places).sum() > held.sum():
            held[:] = new
            self.has_grown = True

    def keep_all(self, *atoms: Any) -> None:
        """Let all places of these values stay."""
        for atom in atoms:
            for axis in range(len(atom.aval.shape)):
                self.keep(atom, axis)

    def share(self, one: Any, axis: int, other: Any, other_axis: int) -> None:
        """Let the same places of two axes stay."""
        for a, i, b, j in ((one, axis, other, other_axis), (other, other_axis, one, axis)):
            places = self.of(a)[i]
            self.keep(b, j, True if places is None else places)

    def counts(self, atom: Any) -> list[Any]:
        """The sizes of a value once the others are gone."""
        pairs = zip(atom.aval.shape, self.of(atom), strict=True)
        return [size if places is None else int(places.sum()) for size, places in pairs]

    def fill(self) -> None:
        """Let the first place of each axis stay of which none would."""
        for places in self._places.values():
            for each in places:
                if each is not None and each.size and not each.any():
                    each[0] = self.has_grown = True


def places_kept(jaxpr: Any, found: Mapping[Any, Known]) -> Kept:
    """The places that the outputs of a function read, once all its operations agree."""
    kept = Kept(found)
    kept.keep_all(jaxpr.invars[-1], *jaxpr.outvars)
    kept.has_grown = True
    while kept.has_grown:
        kept.has_grown = False
        _agree(kept, jaxpr)
        if not kept.has_grown:
            kept.fill()
    return kept


def _agree(kept: Kept, jaxpr: Any) -> None:
    for equation in reversed(read_equations(jaxpr)):
        rule = RULES.get(equation.primitive.name, _all_stays)
        rule(kept, equation)


def _looped(kept: Kept, equation: Any) -> None:
    """A state has the same places before and after each step."""
    loop = loop_of(equation)
    if loop is None:
        _all_stays(kept, equation)
        return
    body, end = loop.body, loop.same + loop.state
    outer, inner = equation.invars, body.invars
    pairs = [*zip(outer[:end], inner[:end], strict=True)]
    for states in (body.outvars[: loop.state], equation.outvars[: loop.state]):
        pairs += zip(states, inner[loop.same : end], strict=True)
    for one, other in pairs:
        for axis in range(len(one.aval.shape)):
            kept.share(one, axis, other, axis)
    rows = [*zip(outer[end:], inner[end:], strict=True)]
    rows += zip(equation.outvars[loop.state :], body.outvars[loop.state :], strict=True)
    for all_rows, row in rows:
        kept.keep(all_rows, 0)
        for axis in range(len(row.aval.shape)):
            kept.share(all_rows, axis + 1, row, axis)
    _agree(kept, body)


def _all_stays(kept: Kept, equation: Any) -> None:
    kept.keep_all(*equation.invars, *equation.outvars)


def _each(kept: Kept, equation: Any) -> None:
    out = equation.outvars[0]
    for atom in equation.invars:
        for axis, size in enumerate(atom.aval.shape):
            if size == out.aval.shape[axis]:  # and not 1 that is repeated
                kept.share(atom, axis, out, axis)


def _summed(kept: Kept, equation: Any) -> None:
    """Terms go of which the value is known: both factors are, or one is 0."""
    if not is_summed_plainly(equation):
        _all_stays(kept, equation)
    elif equation.primitive.name == "dot_general":
        _product(kept, equation)
    else:
        _convolution(kept, equation)


def _product(kept: Kept, equation: Any) -> None:
    (x, y), (out,) = equation.invars, equation.outvars
    ((over_x,), (over_y,)), (batch_x, batch_y) = equation.params["dimension_numbers"]
    known = _known_terms(kept, equation, (over_x, over_y), (batch_x, batch_y))
    kept.keep(x, over_x, ~known)
    kept.share(x, over_x, y, over_y)
    for place, (one, other) in enumerate(zip(batch_x, batch_y, strict=True)):
        kept.share(x, one, y, other)
        kept.share(x, one, out, place)
    place = len(batch_x)
    for atom, taken in ((x, (over_x, *batch_x)), (y, (over_y, *batch_y))):
        for axis in range(len(atom.aval.shape)):
            if axis not in taken:
                kept.share(atom, axis, out, place)
                place += 1


def _known_terms(kept: Kept, equation: Any, over: Sequence[int], batch: Any) -> np.ndarray:
    """At which places of an axis of each factor all terms of a sum are known, bool `[n]`."""
    pair = factors(equation, [kept.known(atom) for atom in equation.invars])
    size = equation.invars[0].aval.shape[over[0]]

    def each(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Those of batches and of the axis, for all places of others."""
        found = []
        for array, axis, own in zip(arrays, over, batch, strict=True):
            first = (*own, axis)
            rest = tuple(i for i in range(array.ndim) if i not in first)
            order = sorted(range(len(first)), key=lambda i: first[i])
            places: np.ndarray = np.all(array, axis=rest)
            found.append(np.transpose(places, np.argsort(order)))
        return found

    (x, y), (x_is_zero, y_is_zero) = (
        each([one.where for one in pair]),
        each([one.is_zero for one in pair]),
    )
    known = (x & y) | x_is_zero | y_is_zero
    return np.broadcast_to(known.all(tuple(range(known.ndim - 1))), size)


def _convolution(kept: Kept, equation: Any) -> None:
    (x, kernel), (out,) = equation.invars, equation.outvars
    from_x, from_kernel, to_out = equation.params["dimension_numbers"]
    groups, channels = equation.params["feature_group_count"], x.aval.shape[from_x[1]]
    for atom, axes in ((x, from_x[2:]), (kernel, from_kernel[2:]), (out, to_out[2:])):
        for axis in axes:
            kept.keep(atom, axis)
    kept.share(x, from_x[0], out, to_out[0])
    kept.share(kernel, from_kernel[0], out, to_out[1])
    if groups == 1:
        over = from_x[1], from_kernel[1]
        kept.keep(x, from_x[1], ~_known_terms(kept, equation, over, ((), ())))
        kept.share(x, from_x[1], kernel, from_kernel[1])
    elif groups == channels == out.aval.shape[to_out[1]]:  # each filter has a channel of its own
        kept.share(x, from_x[1], out, to_out[1])
    else:
        _channels_of_groups(kept, equation)
        _as_many_in_each(kept, out, to_out[1], groups)


def _channels_of_groups(kept: Kept, equation: Any) -> None:
    """Channels go that are at the same place of each group."""
    x, kernel = equation.invars
    (_, axis, *_), (last, first, *_), _ = equation.params["dimension_numbers"]
    groups, size = equation.params["feature_group_count"], kernel.aval.shape[first]
    of_x, of_kernel = factors(equation, [kept.known(atom) for atom in equation.invars])
    by_group = (size, groups, -1)

    def of_channels(array: np.ndarray) -> np.ndarray:
        return np.broadcast_to(array.reshape(-1), groups * size).reshape(groups, size)

    def of_rows(array: np.ndarray) -> np.ndarray:
        """What holds for all weights of a channel, bool `[groups, size]`."""
        whole = np.moveaxis(np.broadcast_to(array, kernel.aval.shape), (first, last), (0, 1))
        rows: np.ndarray = np.all(whole, axis=tuple(range(2, whole.ndim)))
        return np.asarray(rows.reshape(by_group).all(2).T)

    known = of_channels(of_x.where) & of_rows(of_kernel.where)
    known |= of_channels(of_x.is_zero) | of_rows(of_kernel.is_zero)
    held = [kept.of(atom)[place] for atom, place in ((x, axis), (kernel, first))]
    assert held[0] is not None, "channels are no rows"
    stay = (~known | held[0].reshape(groups, size)).any(0) | held[1]
    kept.keep(x, axis, np.tile(stay, groups))
    kept.keep(kernel, first, stay)


def _as_many_in_each(kept: Kept, atom: Any, axis: int, groups: int) -> None:
    """Let as many places of each group stay."""
    places = kept.of(atom)[axis]
    assert places is not None, "channels are no rows"
    each = places.reshape(groups, -1)
    missing = each.sum(1).max() - each.sum(1)
    more = each | (~each & (np.cumsum(~each, axis=1) <= missing[:, None]))
    kept.keep(atom, axis, more.reshape(-1))


def _added_up(kept: Kept, equation: Any) -> None:
    (x,), (out,), axes = equation.invars, equation.outvars, equation.params["axes"]
    rest = [axis for axis in range(len(x.aval.shape)) if axis not in axes]
    for place, axis in enumerate(rest):
        kept.share(x, axis, out, place)
    if equation.primitive.name == "reduce_sum" and len(axes) == 1:
        where = kept.known(x).where.all(tuple(rest))
        kept.keep(x, axes[0], ~np.broadcast_to(where, x.aval.shape[axes[0]]))
        return
    for axis in axes:
        kept.keep(x, axis)


def _repeated(kept: Kept, equation: Any) -> None:
    x, out = equation.invars[0], equation.outvars[0]
    for axis, place in enumerate(equation.params["broadcast_dimensions"]):
        if x.aval.shape[axis] == out.aval.shape[place]:
            kept.share(x, axis, out, place)


def _reshaped(kept: Kept, equation: Any) -> None:
    """The places of an axis that is parted are those of all pairs of its parts."""
    x, out = equation.invars[0], equation.outvars[0]
    for from_, to in axis_groups(x.aval.shape, out.aval.shape):
        sides = [(x, from_), (out, to)]
        held = [[kept.of(atom)[axis] for axis in axes] for atom, axes in sides]
        if any(places is None for side in held for places in side):
            for atom, axes in sides:
                for axis in axes:
                    kept.keep(atom, axis)
            continue
        flat = np.logical_or(*(_pairs(side) for side in held))
        for atom, axes in sides:
            sizes = [atom.aval.shape[axis] for axis in axes]
            for i, axis in enumerate(axes):
                others = tuple(j for j in range(len(axes)) if j != i)
                kept.keep(atom, axis, flat.reshape(sizes).any(others))


def _pairs(places: Sequence[Any]) -> np.ndarray:
    one = np.ones(1, bool)
    return reduce(lambda found, each: np.logical_and.outer(found, each).reshape(-1), places, one)


def _transposed(kept: Kept, equation: Any) -> None:
    for place, axis in enumerate(equation.params["permutation"]):
        kept.share(equation.invars[0], axis, equation.outvars[0], place)


def _squeezed(kept: Kept, equation: Any) -> None:
    (x,), (out,) = equation.invars, equation.outvars
    rest = [a for a in range(len(x.aval.shape)) if a not in equation.params["dimensions"]]
    for place, axis in enumerate(rest):
        kept.share(x, axis, out, place)


def _taken(kept: Kept, equation: Any) -> None:
    (table, places), (out,) = equation.invars, equation.outvars
    pairs = axes_of_slices(equation)
    if pairs is None:
        _all_stays(kept, equation)
        return
    kept.keep_all(places)
    for atom, shared in ((table, {axis for axis, _ in pairs}), (out, {axis for _, axis in pairs})):
        for axis in range(len(atom.aval.shape)):
            if axis not in shared:
                kept.keep(atom, axis)
    for axis, place in pairs:
        kept.share(table, axis, out, place)


def _share_part(kept: Kept, whole: Any, part: Any, axis: int, start: int) -> None:
    """Let the same places of an axis stay as of the part of it that begins at `start`."""
    of_whole, of_part = kept.of(whole)[axis], kept.of(part)[axis]
    if of_whole is None or of_part is None:
        kept.keep(whole, axis)
        kept.keep(part, axis)
        return
    inside = np.zeros(len(of_whole), bool)
    inside[start : start + len(of_part)] = of_part
    kept.keep(whole, axis, inside)
    kept.keep(part, axis, of_whole[start : start + len(of_part)])


def _sliced(kept: Kept, equation: Any) -> None:
    (x,), (out,), params = equation.invars, equation.outvars, equation.params
    steps = params["strides"] or (1,) * len(x.aval.shape)
    for axis, (start, step) in enumerate(zip(params["start_indices"], steps, strict=True)):
        if x.aval.shape[axis] == out.aval.shape[axis]:
            kept.share(x, axis, out, axis)
        elif step == 1:
            _share_part(kept, x, out, axis, start)
        else:
            kept.keep(x, axis)
            kept.keep(out, axis)


def _padded(kept: Kept, equation: Any) -> None:
    x, out = equation.invars[0], equation.outvars[0]
    for axis, (low, high, inside) in enumerate(equation.params["padding_config"]):
        if inside or low < 0 or high < 0:
            kept.keep(x, axis)
            kept.keep(out, axis)
        elif low == high == 0:
            kept.share(x, axis, out, axis)
        else:
            _share_part(kept, out, x, axis, low)


def _joined(kept: Kept, equation: Any) -> None:
    (out,), along, start = equation.outvars, equation.params["dimension"], 0
    for atom in equation.invars:
        for axis in range(len(atom.aval.shape)):
            if axis == along:
                _share_part(kept, out, atom, axis, start)
            else:
                kept.share(out, axis, atom, axis)
        start += atom.aval.shape[along]


def _parted(kept: Kept, equation: Any) -> None:
    (x,), along, start = equation.invars, equation.params["axis"], 0
    for atom, size in zip(equation.outvars, equation.params["sizes"], strict=True):
        for axis in range(len(atom.aval.shape)):
            if axis == along:
                _share_part(kept, x, atom, axis, start)
            else:
                kept.share(x, axis, atom, axis)
        start += size


def _windows(kept: Kept, equation: Any) -> None:
    x, out, joined = equation.invars[0], equation.outvars[0], axes_of_windows(equation)
    for axis in range(len(x.aval.shape)):
        if axis in joined:
            kept.keep(x, axis)
            kept.keep(out, axis)
        else:
            kept.share(x, axis, out, axis)


RULES: dict[str, Callable[[Kept, Any], None]] = {
    **dict.fromkeys(EACH, _each),
    "dot_general": _summed,
    "conv_general_dilated": _summed,
    **dict.fromkeys(("reduce_sum", "reduce_max", "reduce_min"), _added_up),
    **dict.fromkeys(("reduce_window_max", "reduce_window_sum"), _windows),
    "broadcast_in_dim": _repeated,
    "reshape": _reshaped,
    "transpose": _transposed,
    "squeeze": _squeezed,
    "gather": _taken,
    "scan": _looped,
    "slice": _sliced,
    "pad": _padded,
    "concatenate": _joined,
    "split": _parted,
}
