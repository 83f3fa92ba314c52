"""Integrated gradients: the part of each feature in an answer.

Source: Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks" (arXiv:1703.01365),
Equation 1; the integral is by Gauss and Legendre, in pieces that are
halved until they are complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hpo.data.source import Source
from hpo.data.transforms.resizing import spread
from hpo.engine.devices import available_bytes
from hpo.engine.program import Program
from hpo.engine.training.forward import forward
from hpo.spec.experiment import Training
from hpo.trained.ensembles.ensemble import Answering, shares_of
from hpo.trained.explain.importance import Columns, with_column
from hpo.trained.model import Member, Model
from hpo.trained.predict import rows_at_once

_POINTS = 4  # in each piece of the way from the base to a row
# How often a piece is halved at most, and how many pieces of a way a row may have at once.
_HALVINGS, _MOST_PIECES = 8, 128
# The limit of a piece supposes that this number of pieces of a way have a gap.
_KINKS = 16
_ROUNDING = 1e-6
_PIECES_AT_ONCE, _BYTES_AT_ONCE = 1024, 1 << 29
# Gradients keep what several layers have made.
_LAYERS_KEPT = 4


class Fineness(NamedTuple):
    """How close parts are to be to the rise, as a share of the largest rise of all rows.

    `pieces` are those of a way at first, which are halved for that.
    """

    gap: float
    pieces: int


FINE = Fineness(1e-3, 32)
# For pictures: nobody sees a hundredth, and a thousandth takes several times as long.
COARSE = Fineness(1e-2, 4)


class Attribution(NamedTuple):
    """The parts of columns `[N, C]`, or of pixels `[N, height, width, channels]`, in answers.

    Those of forecasts are of the steps of a window and its columns, `[N, window, C]`. The parts of
    a row add up to `rises`, its answer less that to the mean of the usual rows, `[N]`. An answer to
    classes is the logarithm of the odds of the class that is found, with natural logarithms. Others
    are in the unit of the target; that of a forecast is the mean of its values. `names` are those
    of the columns.
    """

    names: tuple[str, ...]
    parts: np.ndarray
    rises: np.ndarray

    @property
    def gap(self) -> float:
        """How far the parts of a row are from its rise, at most."""
        return float(np.abs(self.parts.reshape(len(self.parts), -1).sum(1) - self.rises).max())


def is_attributable(model: Answering) -> bool:
    """Whether a model has one answer for each row, from features that are numbers."""
    told = model.description
    has_one = bool(told.classes) or (told.task in ("regression", "counts") and told.outputs == 1)
    return has_one and told.type == "float32"


def attributed(
    model: Answering,
    source: Source,
    usual: Source,
    found: np.ndarray,
    columns: Mapping[str, Columns],
    fineness: Fineness = FINE,
) -> Attribution | None:
    """The parts of the columns of a table, or of pixels without `columns`, in a model's answers.

    `found` are the classes whose odds are explained, `usual` the rows whose mean they start from.
    Of masks they are those of pixels, `[N, height, width]`, whose odds are summed; -1 for pixels
    that are left out.
    Codes of categories have no part. None where features mix columns, as main components do.
    """
    parts: Any = 0.0
    rises: Any = 0.0
    for one, share in shares_of(model):
        for member in one.members:
            x = one.features(member, source)
            base = np.broadcast_to(_mean_features(one, member, usual), x.shape)
            codes = len(member.data.categories)
            base = np.concatenate([x[:, :codes], base[:, codes:]], axis=1) if codes else base
            own, rise = member_parts(one, member, x, base, found, fineness)
            if columns:
                owners = _owners(one, member, source, x, columns)
                if owners is None:
                    return None
                own = own @ owners
            elif "image_size" in member.data.transform.more:
                own = spread(own, source.x.shape[1:3])
            weight = share / len(one.members) * unit_of(member)
            parts, rises = parts + weight * own, rises + weight * rise
    return Attribution(tuple(columns), np.asarray(parts), np.asarray(rises))


def _mean_features(model: Model, member: Member, source: Source) -> np.ndarray:
    """The mean features of some examples, float32; only some of these are in memory at once."""
    size, total = rows_at_once(model, available_bytes()), np.zeros(model.description.shape)
    for start in range(0, len(source), size):
        some = source.take(slice(start, start + size))
        total += model.features(member, some).sum(0, dtype=np.float64)
    found: np.ndarray = (total / len(source)).astype(np.float32)
    return found


def unit_of(member: Member) -> float:
    """What one of an output is in the unit of the target."""
    return float(member.data.target_std) if member.data.task == "regression" else 1.0


def _owners(
    model: Model, member: Member, source: Source, x: np.ndarray, columns: Mapping[str, Columns]
) -> np.ndarray | None:
    """1 where a feature is of a column, `[F, C]`; None where one is of several.

    It is of the columns whose order changes it. One that is the same in all rows is of none.
    """
    order = np.roll(np.arange(len(x)), 1)
    found = np.stack(
        [
            (model.features(member, with_column(source, column, source, order)) != x).any(0)
            for column in columns.values()
        ],
        axis=1,
    )
    return None if (found.sum(1) > 1).any() else found.astype(np.float64)


def member_parts(
    model: Model,
    member: Member,
    x: np.ndarray,
    base: np.ndarray,
    found: np.ndarray,
    fineness: Fineness = FINE,
) -> tuple[np.ndarray, np.ndarray]:
    """The parts of the features of each row in the answers of a member, and their rises."""
    answer = jax.jit(partial(_answers, model.program, model.training))
    integrate = jax.jit(partial(_integrated, model.program, model.training))
    bytes_of_row = max(1, _LAYERS_KEPT * model.row_bytes, 32 * x[0].size)
    # The parts of all pieces of some rows are in memory at once, as float64.
    at_once = max(1, _BYTES_AT_ONCE // (8 * x[0].size * _MOST_PIECES))
    most = min(len(x), at_once) * fineness.pieces
    size = max(1, min(_BYTES_AT_ONCE // bytes_of_row, _PIECES_AT_ONCE, most))

    def of(function: Any, rows: np.ndarray, *places: np.ndarray) -> list[np.ndarray]:
        pieces = []
        for start in range(0, len(rows), size):
            # Pieces of one shape are compiled once.
            at = np.resize(rows[start : start + size], size)
            more = [np.resize(one[start : start + size], size) for one in places]
            told = function(member.weights, x[at], base[at], found[at], *more)
            count = len(rows[start : start + size])
            pieces.append([np.asarray(one, np.float64)[:count] for one in told])
        return [np.concatenate(one) for one in zip(*pieces, strict=True)]

    rows = np.arange(len(x))
    (last,), (first,) = (of(answer, rows, np.full(len(x), end, np.float32)) for end in (1, 0))
    rises = last - first
    # Answers of 32 bits are no more exact than this.
    least = _ROUNDING * max(np.abs(last).max(), np.abs(first).max())
    limit = max(fineness.gap * np.abs(rises).max() / _KINKS, least)
    groups = [rows[start : start + at_once] for start in range(0, len(x), at_once)]
    how = x.shape[1:], limit, fineness.pieces
    parts = [_in_pieces(partial(of, integrate), group, *how) for group in groups]
    return np.concatenate(parts), rises


def _in_pieces(
    integrate: Callable[..., list[np.ndarray]],
    every: np.ndarray,
    shape: tuple[int, ...],
    limit: float,
    pieces: int,
) -> np.ndarray:
    """The integral of some rows over the whole way; pieces with gaps above `limit` are halved.

    A network of relu has kinks on the way. Only the pieces with a kink have gaps.
    """
    total, width = np.zeros((len(every), *shape)), 1 / pieces
    rows = np.repeat(np.arange(len(every)), pieces)
    starts = np.tile(np.arange(pieces) * width, len(every))
    for level in range(_HALVINGS + 1):
        parts, gaps = integrate(
            every[rows], starts.astype(np.float32), np.full(len(rows), width, np.float32)
        )
        is_done = (np.abs(gaps) <= limit) | ~np.isfinite(gaps)
        # Answers that rise in steps have gaps everywhere, which no halving closes.
        if level == _HALVINGS or 2 * (~is_done).sum() > _MOST_PIECES * len(every):
            is_done[:] = True
        np.add.at(total, rows[is_done], parts[is_done])
        if is_done.all():
            break
        rows, starts, width = rows[~is_done].repeat(2), starts[~is_done].repeat(2), width / 2
        starts[1::2] += width
    return total


def _answers(
    program: Program,
    training: Training,
    weights: Any,
    x: Float[Array, "B ..."],
    base: Float[Array, "B ..."],
    found: Int[Array, "B ..."],
    place: Float[Array, " B"],
) -> tuple[Float[Array, " B"]]:
    """The answer for each row at a place of the way, from 0 at the base to 1."""
    at = base + _beside(place, x) * (x - base)
    return (_answer(program, training, weights, at, found),)


def _integrated(
    program: Program,
    training: Training,
    weights: Any,
    x: Float[Array, "B ..."],
    base: Float[Array, "B ..."],
    found: Int[Array, "B ..."],
    start: Float[Array, " B"],
    width: Float[Array, " B"],
) -> tuple[Float[Array, "B ..."], Float[Array, " B"]]:
    """The parts over a piece of the way, and how far they are from the rise over it."""
    step = x - base

    def answer(at: Any) -> Float[Array, " B"]:
        return _answer(program, training, weights, at, found)

    def add(total: Any, point: Any) -> tuple[Any, None]:
        offset, weight = point
        at = base + _beside(start + offset * width, x) * step
        return total + weight * jax.grad(lambda at: answer(at).sum())(at), None

    offsets, sizes = np.polynomial.legendre.leggauss(_POINTS)
    points = (offsets + 1).astype(np.float32) / 2, sizes.astype(np.float32) / 2
    mean, _ = jax.lax.scan(add, jnp.zeros_like(x), points)
    parts = mean * step * _beside(width, x)
    ends = [answer(base + _beside(end, x) * step) for end in (start + width, start)]
    return parts, parts.reshape(len(parts), -1).sum(1) - (ends[0] - ends[1])


def _answer(
    program: Program, training: Training, weights: Any, at: Float[Array, "B ..."], found: Any
) -> Float[Array, " B"]:
    """The answer that is explained, for rows at some places."""
    own, state = program.of_its_own(training), (weights["params"], weights["variables"])
    outputs = forward(own, training, *state, {"x": at})[0].astype(jnp.float32)
    answer: Array
    if program.task == "classification":
        answer = log_odds(outputs, found)
    elif program.task == "segmentation":
        # As Seg-Grad-CAM sums over a set of pixels (Vinogradova et al. 2020, arXiv:2002.11434).
        answer = (log_odds(outputs, found) * (found >= 0)).sum((1, 2))
    else:
        answer = outputs.mean(1)  # the values of a forecast have one answer together
    return answer


def _beside(number: Float[Array, " B"], x: Float[Array, "B ..."]) -> Float[Array, "B ..."]:
    """A number of each row, in the shape that multiplies its features."""
    return number.reshape(-1, *[1] * (x.ndim - 1))


def log_odds(outputs: Float[Array, "B ... K"], found: Int[Array, "B ..."]) -> Float[Array, "B ..."]:
    """The logarithm of the odds of a class against all others, from outputs of classes."""
    is_found = found[..., None] == jnp.arange(outputs.shape[-1])
    others = jax.nn.logsumexp(jnp.where(is_found, -jnp.inf, outputs), axis=-1)
    own: Array = jnp.where(is_found, outputs, 0).sum(-1) - others
    return own


def mean_sizes(found: Attribution) -> Sequence[tuple[str, float]]:
    """The mean size of the part of each column, the largest first; all steps of one are a part."""
    parts = found.parts if found.parts.ndim == 2 else found.parts.sum(1)
    sizes = np.abs(parts).mean(0).tolist()
    return sorted(zip(found.names, sizes, strict=True), key=lambda one: -one[1])
