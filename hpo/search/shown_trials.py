"""What of a storage Optuna's samplers and pruners need, over trials that we may change."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

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
        """Nothing: samplers tell other processes what they propose, and there are none."""
