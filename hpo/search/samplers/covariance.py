"""CMA-ES: a normal distribution that follows the best of its draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]

# A distribution this narrow everywhere, or this much narrower in one direction, has converged.
_NARROWEST = 1e-9
_MOST_UNEVEN = 1e7
_RESAMPLINGS = 20


@dataclass(frozen=True)
class Weights:
    """What `population` points weigh in an update of `dimensions` coordinates, and how fast it is.

    Source: Hansen 2016, "The CMA evolution strategy: a tutorial" (arXiv:1604.00772), table 1.
    """

    dimensions: int
    population: int

    @cached_property
    def raw(self) -> Vector:
        ranks = np.arange(1, self.population + 1, dtype=np.float64)
        return np.asarray(math.log((self.population + 1) / 2) - np.log(ranks))

    @cached_property
    def parents(self) -> int:
        return self.population // 2

    @cached_property
    def effective(self) -> float:
        best = self.raw[: self.parents]
        return float(best.sum() ** 2 / (best**2).sum())

    @cached_property
    def path_rate(self) -> float:
        n, mu = self.dimensions, self.effective
        return (4 + mu / n) / (n + 4 + 2 * mu / n)

    @cached_property
    def step_rate(self) -> float:
        return (self.effective + 2) / (self.dimensions + self.effective + 5)

    @cached_property
    def step_damping(self) -> float:
        excess = math.sqrt((self.effective - 1) / (self.dimensions + 1)) - 1
        return 1 + 2 * max(0.0, excess) + self.step_rate

    @cached_property
    def rank_one_rate(self) -> float:
        return 2 / ((self.dimensions + 1.3) ** 2 + self.effective)

    @cached_property
    def rank_mu_rate(self) -> float:
        mu = self.effective
        rate = 2 * (mu - 2 + 1 / mu) / ((self.dimensions + 2) ** 2 + mu)
        return min(1 - self.rank_one_rate - 1e-8, rate)

    @cached_property
    def each(self) -> Vector:
        """The weight of each point, the best first; those of the worse half are negative."""
        c1, cmu, n = self.rank_one_rate, self.rank_mu_rate, self.dimensions
        worse = self.raw[self.parents :]
        effective = worse.sum() ** 2 / (worse**2).sum()
        limit = min(
            1 + c1 / cmu,
            1 + 2 * effective / (self.effective + 2),
            (1 - c1 - cmu) / (n * cmu),
        )
        gains, costs = self.raw[self.raw > 0].sum(), -self.raw[self.raw < 0].sum()
        weights: Vector = np.where(self.raw >= 0, self.raw / gains, limit * self.raw / costs)
        return weights

    @cached_property
    def expected_length(self) -> float:
        """The mean length of a standard normal vector, nearly."""
        n = self.dimensions
        return math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))


@dataclass(frozen=True, eq=False)
class Normal:
    """The distribution that points are drawn from, in the unit cube; a value, never changed.

    A coordinate with a `grain` above 0 moves in steps of that size. It keeps a chance to leave the
    step that it is on, for else its spread would vanish and a step never be tried again.

    Source of that: Hamano et al. 2022, "CMA-ES with margin" (GECCO), here by a lower bound on the
    spread alone.
    """

    weights: Weights
    grain: Vector
    mean: Vector
    step: float
    covariance: Vector
    step_path: Vector
    path: Vector
    generation: int = 0

    @staticmethod
    def start(mean: Vector, step: float, grain: Vector, population: int) -> Normal:
        """An even distribution around `mean`."""
        n = len(mean)
        zeros = np.zeros(n)
        return Normal(Weights(n, population), grain, mean, step, np.eye(n), zeros, zeros)

    @cached_property
    def axes(self) -> tuple[Vector, Vector]:
        """The principal axes, as columns, and the deviation along each."""
        squares, axes = np.linalg.eigh((self.covariance + self.covariance.T) / 2)
        return axes, np.sqrt(np.maximum(squares, 1e-16))

    @cached_property
    def widening(self) -> Vector:
        """The factor by which each coordinate is drawn wider, so that it may leave its step."""
        spread = self.step * np.sqrt(np.maximum(np.diag(self.covariance), 1e-16))
        # In each generation about one point leaves its step somewhere.
        chance = 1 / (self.weights.dimensions * self.weights.population)
        deviations = NormalDist().inv_cdf(1 - chance / 2)
        return np.maximum(1.0, self.grain / 2 / deviations / spread)

    def draw(self, rng: np.random.Generator) -> Vector:
        """A point in the unit cube: drawn again while it lies outside, in the end moved inside."""
        axes, deviations = self.axes
        for _ in range(_RESAMPLINGS):
            y = axes @ (deviations * rng.standard_normal(len(self.mean)))
            point = self.mean + self.step * self.widening * y
            if np.all((point >= 0) & (point <= 1)):
                return point
        return np.clip(point, 0.0, 1.0)

    def update(self, points: Vector) -> Normal:
        """The distribution after a generation of `points`, one a row, the best first.

        They need not be draws from it. A point further away than any draw counts as one in its
        direction, at the usual distance of draws.

        Sources: Hansen 2016, figure 6; Hansen 2011, "Injecting external solutions into CMA-ES"
        (arXiv:1110.4181), equation 5.
        """
        w, n = self.weights, self.weights.dimensions
        axes, deviations = self.axes
        whiten = axes @ np.diag(1 / deviations) @ axes.T
        y = (points - self.mean) / (self.step * self.widening)
        lengths = np.linalg.norm(y @ whiten, axis=1)
        longest = math.sqrt(n) + 2 * n / (n + 2)
        y *= np.minimum(1.0, longest / np.maximum(lengths, 1e-16))[:, None]
        lengths = np.minimum(lengths, longest)

        shift = w.each[: w.parents] @ y[: w.parents]
        step_path = (1 - w.step_rate) * self.step_path + math.sqrt(
            w.step_rate * (2 - w.step_rate) * w.effective
        ) * (whiten @ shift)
        length = float(np.linalg.norm(step_path))
        step = self.step * math.exp(w.step_rate / w.step_damping * (length / w.expected_length - 1))
        generation = self.generation + 1
        usual = length / math.sqrt(1 - (1 - w.step_rate) ** (2 * (generation + 1)))
        # The path stalls while the step size leaps, so that the covariance does not follow it.
        is_usual = usual < (1.4 + 2 / (n + 1)) * w.expected_length
        path = (1 - w.path_rate) * self.path + is_usual * math.sqrt(
            w.path_rate * (2 - w.path_rate) * w.effective
        ) * shift
        each = w.each * np.where(w.each >= 0, 1.0, n / (lengths**2 + 1e-16))
        stalled = (1 - is_usual) * w.path_rate * (2 - w.path_rate)
        covariance = (
            (1 + w.rank_one_rate * stalled - w.rank_one_rate - w.rank_mu_rate * w.each.sum())
            * self.covariance
            + w.rank_one_rate * np.outer(path, path)
            + w.rank_mu_rate * (y.T * each) @ y
        )
        mean = np.clip(self.mean + self.step * self.widening * shift, 0.0, 1.0)
        return Normal(w, self.grain, mean, min(step, 1.0), covariance, step_path, path, generation)

    @property
    def has_converged(self) -> bool:
        """Whether the distribution has become too narrow to find anything else."""
        _, deviations = self.axes
        is_narrow = bool(np.all(self.step * np.sqrt(np.diag(self.covariance)) < _NARROWEST))
        return is_narrow or bool(deviations.max() / deviations.min() > _MOST_UNEVEN)
