"""The rules by which a study stops before its last trial, decided by its log alone."""

from __future__ import annotations

import math

from hpo.search.proposals.remaining import DRAWS
from hpo.search.results.pareto import dominates
from hpo.spec.sections.goal import StopSpec
from hpo.spec.words import count_text
from hpo.study.log.events import StopReason, StudyState
from hpo.trial import Trial, TrialState


class StopRules:
    """The stop rules of a spec for a study.

    It remembers the ended trials that it has seen, for speed alone: its answer depends only on the
    log.
    """

    def __init__(self, spec: StopSpec, state: StudyState) -> None:
        self._spec, self._state = spec, state
        self._start_anew()

    def _start_anew(self) -> None:
        self._ended = self._state.ended
        self._seen: int = 0
        self._without_better: int = 0
        self._best: list[tuple[float, ...]] = []  # with several objectives, the Pareto front
        self._has_target: bool = False

    def reason(self) -> StopReason | None:
        """Why the study should stop now; None if it should not."""
        state, spec = self._state, self._spec
        if self._ended is not state.ended:
            self._start_anew()  # a trial that had ended is active again
        for number in state.ended[self._seen :]:
            self._take_in(state.trial(number))
        self._seen = len(state.ended)
        if self._has_target:
            return "target"
        if spec.no_improvement is not None and self._without_better >= spec.no_improvement:
            return "no_improvement"
        if spec.epochs is not None and state.epochs >= spec.epochs:
            return "epochs"
        return None

    def _take_in(self, trial: Trial) -> None:
        # Pruned trials do not count: a rung ends many at once, before its best ones have gone on.
        if trial.state not in (TrialState.COMPLETE, TrialState.DIVERGED):
            return
        is_feasible = trial.is_full and trial.violation == 0
        values = (trial.values or trial.losses[-1:]) if is_feasible else ()
        if not values or any(best == values or dominates(best, values) for best in self._best):
            self._without_better += 1
            return
        self._without_better = 0
        self._best = [best for best in self._best if not dominates(values, best)] + [values]
        target, objective = self._spec.target, self._state.goal.first
        self._has_target |= values[0] <= (-math.inf if target is None else objective.loss(target))


def stop_sentence(reason: StopReason, spec: StopSpec) -> str | None:
    """Why a study stops early, and what to change to continue; None for other reasons."""
    match reason:
        case "target":
            return f"a trial has reached search.stop.target ({spec.target:g}): set another to go on"
        case "no_improvement":
            count = count_text(spec.no_improvement or 0, "trial")
            return f"nothing better in {count} (search.stop.no_improvement): set more to go on"
        case "none_found":
            return (
                f"none of {DRAWS:,} configurations drawn was new and kept the rules: loosen"
                " space.forbid, or narrow the dimensions to what is allowed"
            )
        case "epochs":
            count = count_text(spec.epochs or 0, "epoch")
            return f"search.stop.epochs is reached ({count}): set more to go on"
    return None
