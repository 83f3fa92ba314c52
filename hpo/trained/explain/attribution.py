"""Integrated gradients: the part of each feature in an answer.

Source: Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks" (arXiv:1703.01365),
Equation 1; the integral is by Gauss and Legendre.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hpo.data.source import Source
from hpo.data.transforms.resizing import spread
from hpo.engine.program import Program
from hpo.engine.training.forward import forward
from hpo.spec.experiment import Training
from hpo.trained.ensembles.ensemble import Answering, Ensemble
from hpo.trained.explain.importance import Columns, permuted
from hpo.trained.model import Member, Model

# Networks of relu have kinks on the way, which need many.
_POINTS = 512
_ROWS_AT_ONCE = 256


class Attribution(NamedTuple):
    """The parts of columns `[N, C]`, or of pixels `[N, height, width, channels]`, in answers.

    The parts of a row add up to `rises`, its answer less that to the mean of the usual rows, `[N]`.
    An answer to classes is the logarithm of the odds of the class that is found, with natural
    logarithms. Others are in the unit of the target. `names` are those of the columns.
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
) -> Attribution | None:
    """The parts of the columns of a table, or of pixels without `columns`, in a model's answers.

    `found` are the classes whose odds are explained, `usual` the rows whose mean they start from.
    Codes of categories have no part. None where features mix columns, as main components do.
    """
    models = model.models if isinstance(model, Ensemble) else (model,)
    shares = model.shares if isinstance(model, Ensemble) else (1.0,)
    parts: Any = 0.0
    rises: Any = 0.0
    for one, share in zip(models, shares, strict=True):
        for member in one.members:
            x = one.features(member, source)
            mean = one.features(member, usual).mean(0)
            base = np.broadcast_to(mean, x.shape).astype(np.float32)
            codes = len(member.data.categories)
            base = np.concatenate([x[:, :codes], base[:, codes:]], axis=1) if codes else base
            own, rise = _member_parts(one, member, x, base, found)
            if columns:
                owners = _owners(one, member, source, x, columns)
                if owners is None:
                    return None
                own = own @ owners
            elif "image_size" in member.data.transform.more:
                own = spread(own, source.x.shape[1:3])
            weight = share / len(one.members) * _unit(member)
            parts, rises = parts + weight * own, rises + weight * rise
    return Attribution(tuple(columns), np.asarray(parts), np.asarray(rises))


def _unit(member: Member) -> float:
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
            (model.features(member, permuted(source, column, order)) != x).any(0)
            for column in columns.values()
        ],
        axis=1,
    )
    return None if (found.sum(1) > 1).any() else found.astype(np.float64)


def _member_parts(
    model: Model, member: Member, x: np.ndarray, base: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The parts of the features of each row in the answers of a member, and their rises."""
    integrate = jax.jit(partial(_integrated, model.program, model.training))
    parts, rises = [], []
    for start in range(0, len(x), _ROWS_AT_ONCE):
        some = [array[start : start + _ROWS_AT_ONCE] for array in (x, base, found)]
        own, rise = integrate(member.weights, *some)
        parts.append(np.asarray(own, np.float64))
        rises.append(np.asarray(rise, np.float64))
    return np.concatenate(parts), np.concatenate(rises)


def _integrated(
    program: Program,
    training: Training,
    weights: Any,
    x: Float[Array, "B ..."],
    base: Float[Array, "B ..."],
    found: Int[Array, " B"],
) -> tuple[Float[Array, "B ..."], Float[Array, " B"]]:
    own, step = program.of_its_own(training), x - base

    def answer(at: Float[Array, "B ..."]) -> Float[Array, " B"]:
        state = weights["params"], weights["variables"]
        outputs = forward(own, training, *state, {"x": at})[0].astype(jnp.float32)
        return log_odds(outputs, found) if program.task == "classification" else outputs[:, 0]

    def add(total: Any, point: Any) -> tuple[Any, None]:
        place, weight = point
        slope = jax.grad(lambda at: answer(at).sum())(base + place * step)
        return total + weight * slope, None

    places, sizes = np.polynomial.legendre.leggauss(_POINTS)
    points = (places + 1).astype(np.float32) / 2, sizes.astype(np.float32) / 2
    mean, _ = jax.lax.scan(add, jnp.zeros_like(x), points)
    return mean * step, answer(x) - answer(base)


def log_odds(outputs: Float[Array, "B K"], found: Int[Array, " B"]) -> Float[Array, " B"]:
    """The logarithm of the odds of a class against all others, from outputs of classes."""
    is_found = found[:, None] == jnp.arange(outputs.shape[1])
    others = jax.nn.logsumexp(jnp.where(is_found, -jnp.inf, outputs), axis=1)
    own: Array = jnp.where(is_found, outputs, 0).sum(1) - others
    return own


def mean_sizes(found: Attribution) -> Sequence[tuple[str, float]]:
    """The mean size of the part of each column, the largest first."""
    sizes = np.abs(found.parts).mean(0).tolist()
    return sorted(zip(found.names, sizes, strict=True), key=lambda one: -one[1])
