"""Our trials as Optuna's samplers and pruners see them: distributions, states, a study."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any, cast

from hpo.search.levels import is_stepped, level, level_count, level_of, varying
from hpo.space import Choice, Distribution, Float, SearchSpace
from hpo.trial import HParam, HParams, Trial

if TYPE_CHECKING:
    import optuna


class ShownTrials:
    """The few methods that samplers and pruners call of an Optuna storage.

    Optuna's own storages refuse to change a trial that has ended, and a pruned trial of Optuna's
    may be a paused one of ours, which goes on.
    """

    def __init__(self, trials: list[optuna.trial.FrozenTrial], objectives: int) -> None:
        self.trials = trials
        self._objectives = objectives
        self.attributes: dict[str, Any] = {}

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_directions(self, study_id: int) -> list[optuna.study.StudyDirection]:
        import optuna

        return [optuna.study.StudyDirection.MINIMIZE] * self._objectives

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[optuna.trial.TrialState] | None = None,
    ) -> list[optuna.trial.FrozenTrial]:
        return [trial for trial in self.trials if states is None or trial.state in states]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self.attributes

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Do nothing: samplers announce proposals to other processes, and there are none."""


class OptunaView:
    """Trials as Optuna sees them, with the dimensions that vary."""

    def __init__(self, space: SearchSpace, objectives: int) -> None:
        self.distributions = dict(varying(space))
        self.optuna = {path: as_optuna(dist) for path, dist in self.distributions.items()}
        self.shown: list[optuna.trial.FrozenTrial] = []
        self._storage = ShownTrials(self.shown, objectives)

    def forget(self) -> None:
        """Show no trials, and drop what samplers have noted about the study."""
        self.shown.clear()
        self._storage.attributes.clear()

    def study(self, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
        """A study of Optuna's that holds what is `shown`."""
        import optuna

        return optuna.load_study(
            study_name="",
            storage=cast("optuna.storages.BaseStorage", self._storage),
            sampler=sampler,
            pruner=optuna.pruners.NopPruner(),
        )

    def frozen(
        self,
        number: int,
        hparams: HParams,
        state: optuna.trial.TrialState,
        values: Sequence[float] | None = None,
        intermediate: dict[int, float] | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> optuna.trial.FrozenTrial:
        """A trial of Optuna's; its parameters are those of `hparams` that vary."""
        import optuna

        searched = [path for path in hparams if path in self.distributions]
        return optuna.trial.FrozenTrial(
            number=number,
            trial_id=number,
            state=state,
            value=None,
            values=values,
            datetime_start=None,
            datetime_complete=None,
            params={path: _to_optuna(self.distributions[path], hparams[path]) for path in searched},
            distributions={path: self.optuna[path] for path in searched},
            user_attrs={},
            system_attrs=attributes or {},
            intermediate_values=intermediate or {},
        )

    def internal(self, hparams: HParams) -> dict[str, float]:
        """Hparams that vary as the numbers that Optuna's models are fitted to."""
        return {
            path: self.optuna[path].to_internal_repr(_to_optuna(self.distributions[path], value))
            for path, value in hparams.items()
            if path in self.distributions
        }

    def value(self, path: str, sampled: Any) -> HParam:
        """The value of a dimension for what Optuna has sampled."""
        distribution = self.distributions[path]
        if isinstance(distribution, Choice) or is_stepped(distribution):
            return level(distribution, int(sampled))
        return float(sampled) if isinstance(distribution, Float) else int(sampled)


def violations(trial: Trial) -> dict[str, Any]:
    """The attributes that tell Optuna how much a trial breaks the constraints."""
    return {"constraints:all": trial.violation} if trial.violation > 0 else {}


def as_optuna(distribution: Distribution) -> optuna.distributions.BaseDistribution:
    """Optuna's distribution for one of ours; stepped numbers and choices by a level's index."""
    import optuna

    if isinstance(distribution, Choice):
        return optuna.distributions.CategoricalDistribution(range(len(distribution.values)))
    if is_stepped(distribution):
        return optuna.distributions.IntDistribution(0, (level_count(distribution) or 1) - 1)
    if isinstance(distribution, Float):
        return optuna.distributions.FloatDistribution(
            distribution.low, distribution.high, log=distribution.log
        )
    return optuna.distributions.IntDistribution(distribution.low, distribution.high, log=True)


def _to_optuna(distribution: Distribution, value: HParam) -> Any:
    by_index = isinstance(distribution, Choice) or is_stepped(distribution)
    return level_of(distribution, value) if by_index else value
