"""The baselines: models of scikit-learn with fixed settings, and what each predicts.

They get the encoded features that the models of the search get, images and other examples
flattened, and the same row weights. Several labels are fitted one by one. LightGBM is used where
it is installed. Libraries are imported where a baseline is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hpo.study.baselines.network import NETWORK, trained
from hpo.study.log.baseline import BaselineKey

if TYPE_CHECKING:
    from hpo.spec.sections.data import Task  # imports more than the process of baselines needs

# Takes features [N, F], gives predictions [N, K]: probabilities, or values as they are trained on.
Predict: TypeAlias = Callable[[Any], np.ndarray]

# With more classes than these, a forest is quicker than boosting, which fits trees for each class.
_FEW_CLASSES = 3
_MOST_STEPS = 1000  # of the solvers of linear models

# Objectives that a quantile of the target minimises; the mean minimises the others.
QUANTILES = {"mae": 0.5, "mape": 0.5, "pinball10": 0.1, "pinball50": 0.5, "pinball90": 0.9}


@dataclass(frozen=True, eq=False)
class Problem:
    """What a baseline is fitted to: features `[N, F]`, perhaps sparse, and targets.

    `y` is `[N]` or `[N, targets]`, as a data set has it. `quantile` is that of the target which
    the objective asks for; None for the mean. The examples of a series are windows of `window`
    times, whose last column is the past of the target; 0 for other data. `network` says how to
    train the model of the spec: see `network.py`.
    """

    task: Task
    outputs: int
    x: Any
    y: np.ndarray
    weight: np.ndarray | None
    seed: int
    quantile: float | None = None
    window: int = 0
    network: Mapping[str, Any] | None = None

    @property
    def has_classes(self) -> bool:
        """Whether predictions are probabilities."""
        return self.task in ("classification", "multilabel")


def planned(
    task: Task, outputs: int, window: int = 0, *, is_sparse: bool, has_network: bool = False
) -> list[BaselineKey]:
    """The baselines of a task, the cheapest first; only LightGBM boosts sparse features."""
    past = [key for key, least in zip(OF_THE_PAST, (1, 2), strict=True) if window >= least]
    has_many = task == "classification" and outputs > _FEW_CLASSES
    trees = ("forest", "boosting") if has_many else ("boosting", "forest")
    families = ("linear of words" if is_sparse else "linear", *trees, "LightGBM")
    pairs = [[key for key in ESTIMATORS if key[0] == family] for family in families]
    first, second = zip(*pairs, strict=True)
    left_out = {"boosting"} if is_sparse else set()
    left_out |= set() if find_spec("lightgbm") else {"LightGBM"}
    networks = [NETWORK] if has_network else []
    every = (*first, *networks, *second)
    return [*past, CONSTANT, *(key for key in every if key[0] not in left_out)]


def fitted(key: BaselineKey, problem: Problem) -> Predict:
    """A baseline that is fitted to the training rows."""
    if key in OF_THE_PAST:
        return _of_the_past(problem, 1 if key == LAST else None)
    if key == NETWORK:
        assert problem.network is not None, "only planned where there is one"
        return trained(problem.network, problem)
    make = ESTIMATORS[key]
    if problem.task == "classification":
        return _classes(make, problem)
    y = problem.y if problem.y.ndim == 2 else problem.y[:, None]
    if problem.has_classes:
        labels = [(column > 0.5).astype(np.int32) for column in y.T]
        predicts = [_classes(make, replace(problem, outputs=2, y=label)) for label in labels]
        return lambda x: np.stack([predict(x)[:, 1] for predict in predicts], axis=1)
    if key[0] in _SEVERAL_AT_ONCE and y.shape[1] > 1 and problem.quantile is None:
        together = make(problem).fit(problem.x, y, sample_weight=problem.weight)
        return lambda x: np.asarray(together.predict(x))
    ones = [replace(problem, y=column) for column in y.T]
    models = [make(one).fit(one.x, one.y, sample_weight=one.weight) for one in ones]
    return lambda x: np.stack([model.predict(x) for model in models], axis=1)


def _classes(make: Callable[[Problem], Any], problem: Problem) -> Predict:
    """The probabilities of all classes; 0 for one that no row trains."""
    trained = np.unique(problem.y)
    if len(trained) == 1:
        make = constant
    model = make(problem).fit(problem.x, problem.y, sample_weight=problem.weight)

    def predict(x: Any) -> np.ndarray:
        found = np.zeros((x.shape[0], problem.outputs))
        found[:, trained] = model.predict_proba(x)
        return found

    return predict


def _of_the_past(problem: Problem, period: int | None) -> Predict:
    """The value that the series had a period before; without one, that of the best period.

    The best one has the least squared error on the training rows.
    """
    y = problem.y if problem.y.ndim == 2 else problem.y[:, None]
    steps = np.arange(y.shape[1])

    def predict(x: np.ndarray, period: int) -> np.ndarray:
        past = x.reshape(len(x), problem.window, -1)[:, :, -1]
        return past[:, problem.window - period + steps % period]

    def error(period: int) -> float:
        return float(np.square(predict(problem.x, period) - y).mean())

    best = period or min(range(2, problem.window + 1), key=error)
    return lambda x: predict(x, best)


def constant(problem: Problem) -> Any:
    """The shares of the classes, the mean of the target, or the quantile that is asked for."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if problem.has_classes:
        return DummyClassifier(strategy="prior")
    if problem.quantile is None:
        return DummyRegressor()
    return DummyRegressor(strategy="quantile", quantile=problem.quantile)


def linear(penalty: float, problem: Problem) -> Any:
    """Logistic, ridge or Poisson regression, whose squared weights cost this much."""
    from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

    if problem.has_classes:
        return LogisticRegression(C=1 / penalty, max_iter=_MOST_STEPS)
    if problem.task == "counts":
        return PoissonRegressor(alpha=penalty / len(problem.y), max_iter=_MOST_STEPS)
    return Ridge(alpha=penalty)


def boosting(rate: float, rounds: int, problem: Problem) -> Any:
    """Gradient boosting over histograms: this many rounds of trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    given: dict[str, Any] = {"learning_rate": rate, "max_iter": rounds}
    given["random_state"] = problem.seed
    if problem.has_classes:
        return HistGradientBoostingClassifier(**given)
    if problem.task == "counts":
        return HistGradientBoostingRegressor(loss="poisson", **given)
    if problem.quantile is not None:
        given |= {"loss": "quantile", "quantile": problem.quantile}
    return HistGradientBoostingRegressor(**given)


def forest(leaf: int, problem: Problem) -> Any:
    """A random forest of 100 trees, whose leaves hold at least this many rows."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    of = RandomForestClassifier if problem.has_classes else RandomForestRegressor
    return of(min_samples_leaf=leaf, random_state=problem.seed)


def lightgbm(rate: float, rounds: int, problem: Problem) -> Any:
    """Gradient boosting by LightGBM: this many rounds of trees."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    given: dict[str, Any] = {"learning_rate": rate, "n_estimators": rounds, "n_jobs": 1}
    given |= {"random_state": problem.seed, "verbose": -1}
    if problem.has_classes:
        return LGBMClassifier(**given)
    if problem.task == "counts":
        return LGBMRegressor(objective="poisson", **given)
    if problem.quantile is not None:
        given |= {"objective": "quantile", "alpha": problem.quantile}
    return LGBMRegressor(**given)


CONSTANT: BaselineKey = ("constant", "")
LAST: BaselineKey = ("last value", "")
SEASONAL: BaselineKey = ("seasonal", "best period")
OF_THE_PAST = (LAST, SEASONAL)  # of a series; they need no library
# They fit several quantities together, which is quicker than one by one.
_SEVERAL_AT_ONCE = ("constant", "linear", "linear of words", "forest")
# Each family has two settings. Weights of words are small numbers, which a penalty holds back.
ESTIMATORS: Mapping[BaselineKey, Callable[[Problem], Any]] = {
    CONSTANT: constant,
    ("linear", "penalty 1"): partial(linear, 1.0),
    ("linear", "penalty 100"): partial(linear, 100.0),
    ("linear of words", "penalty 1"): partial(linear, 1.0),
    ("linear of words", "penalty 0.1"): partial(linear, 0.1),
    ("boosting", "rate 0.1, 100 rounds"): partial(boosting, 0.1, 100),
    ("boosting", "rate 0.05, 300 rounds"): partial(boosting, 0.05, 300),
    ("forest", "leaves of 1"): partial(forest, 1),
    ("forest", "leaves of 5"): partial(forest, 5),
    ("LightGBM", "rate 0.1, 100 rounds"): partial(lightgbm, 0.1, 100),
    ("LightGBM", "rate 0.05, 300 rounds"): partial(lightgbm, 0.05, 300),
}
