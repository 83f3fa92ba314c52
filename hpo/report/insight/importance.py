"""How important each hparam was for the results."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpo.space import SearchSpace
from hpo.trial import Trial

# With fewer trials, the best tenth that PED-ANOVA looks at is a single one.
_FEWEST_TRIALS = 20


@dataclass(frozen=True)
class Importance:
    """The share of each hparam, greatest first, from `trials` trials after `epochs` epochs.

    `skipped` says why there are no shares.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    trials: int = 0
    epochs: int = 0
    skipped: str | None = None


def importance_of(trials: Sequence[Trial], space: SearchSpace) -> Importance:
    """The importance of every hparam that varies, by Optuna's default evaluator (PED-ANOVA).

    Trials are compared after the same number of epochs: the most that enough of them have had.

    Source: Watanabe et al. 2023, "PED-ANOVA: Efficiently quantifying hyperparameter importance in
    arbitrary subspaces" (arXiv:2304.10255).
    """
    varying = SearchSpace(tuple(d for d in space.dimensions if d.distribution.size > 1))
    if len(varying) < 2:
        return Importance(skipped="only one hparam varies")
    if any(trial.exploited for trial in trials):
        return Importance(skipped="hparams changed while trials trained")
    lengths = sorted((trial.epochs for trial in trials if trial.epochs), reverse=True)
    if len(lengths) < _FEWEST_TRIALS:
        has = f"{len(lengths)} {'has' if len(lengths) == 1 else 'have'}"
        return Importance(skipped=f"needs {_FEWEST_TRIALS} trials with a result; {has} one")
    epochs = lengths[_FEWEST_TRIALS - 1]
    compared = [trial for trial in trials if trial.epochs >= epochs]
    shares = _ped_anova(compared, varying, epochs)
    return Importance(shares, len(compared), epochs)


def _ped_anova(trials: Sequence[Trial], space: SearchSpace, epochs: int) -> dict[str, float]:
    import optuna  # 0.2 s

    from hpo.study.storage.optuna_parameters import parameters

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = parameters(space, trials)
    by_path = {dimension.path: found[dimension.path] for dimension in space.dimensions}
    study = optuna.create_study()
    study.add_trials(
        optuna.trial.create_trial(
            value=trial.losses[epochs - 1],
            params={path: by_path[path].plain(trial.hparams[path]) for path in active},
            distributions={path: by_path[path].distribution for path in active},
        )
        for trial in trials
        for active in [
            [p for p in by_path if p in trial.hparams and by_path[p].holds(trial.hparams[p])]
        ]
    )
    with warnings.catch_warnings():
        # Optuna warns where few trials meet a condition, and where all results are equal.
        warnings.filterwarnings("ignore", "Some regimes for parameter", UserWarning)
        warnings.filterwarnings("ignore", "Target and region quantiles", UserWarning)
        shares = optuna.importance.get_param_importances(study)
    importance = {path: float(shares.get(path, 0.0)) for path in by_path}
    return dict(sorted(importance.items(), key=lambda item: -item[1]))
