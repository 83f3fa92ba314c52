"""Cohorts: trials proposed together that share a program."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from hpo.search.levels import varying
from hpo.search.sampler import Given, free
from hpo.space import SearchSpace
from hpo.spec.cohorts import can_share_programs
from hpo.spec.marks import Spec
from hpo.spec.programs import shaping
from hpo.spec.sections.search import SearchSpec
from hpo.spec.words import count_text
from hpo.trial import HParam, Trial, TrialState

# Cohorts that a suggestion leaves in a search, so that it explores enough shapes.
_FEWEST = 8


@dataclass(frozen=True)
class Cohorts:
    """Cuts a study's trials, in order, into cohorts of `size`; in each, all follow a leader.

    A follower takes over its leader's values of the `shaping` dimensions. The leader is the first
    of a cohort's trials that lies in the present space and is not infeasible. A shape that breaks a
    constraint breaks it in every trial that has it.
    """

    shaping: frozenset[str]
    size: int

    def given(self, trials: Sequence[Trial]) -> dict[str, HParam]:
        """What trial `len(trials)` takes from its leader; nothing if it leads."""
        first = len(trials) // self.size * self.size
        for number in range(first, len(trials)):
            trial = trials[number]
            if trial.hparams and trial.state is not TrialState.INFEASIBLE:
                return {p: value for p, value in trial.hparams.items() if p in self.shaping}
        return {}


def given_in(search: SearchSpec, space: SearchSpace, root: type[Spec]) -> Given:
    """What trials of a search take over from their cohorts."""
    common, own = _split(space, root)
    is_free = search.cohort == 1 or not common or not own
    return free if is_free else Cohorts(shaping(space, root), search.cohort).given


def behind(given: Given, count: int) -> Given:
    """The same for a sampler that sees `count` other trials before those of its study."""
    return (lambda trials: given(trials[count:])) if count else given


def cohort_text(
    size: int, space: SearchSpace, root: type[Spec], assumed: Set[str] = frozenset()
) -> str:
    """What cohorts of a size above 1 mean in a space, in words.

    The search still has to find out whether the `assumed` dimensions are knobs.
    """
    common, own = _split(space, root)
    unsure = [path for path in own if path in assumed]
    if not own or not (common or unsure):
        what = "nothing" if not common else "all"
        return f"{size}, which changes nothing: {what} that varies shapes a program"
    paths = ", ".join([*common, *(f"{path} (unless it is a knob)" for path in unsure)])
    return f"{size} trials in a row share a program: the first decides {paths}"


def advice(
    search: SearchSpec,
    space: SearchSpace,
    programs: float,
    lanes: int,
    is_accelerator: bool,
    root: type[Spec],
) -> str:
    """A sentence that suggests cohorts where they would save time; empty elsewhere.

    `programs` estimates how many programs the search compiles, each with `lanes` lanes. On an
    accelerator, lanes wait for trials of their own program, so cohorts help from two programs on.
    Elsewhere they help where there would be more programs than cohorts.
    """
    common, own = _split(space, root)
    size = min(lanes, search.trials // _FEWEST)
    if search.cohort > 1 or not can_share_programs(search) or not common or not own or size < 2:
        return ""
    if programs <= (1 if is_accelerator else search.trials / size):
        return ""
    return (
        f"About {count_text(round(programs), 'program')} for {count_text(search.trials, 'trial')}: "
        f"in a new study with search.cohort: {size}, {size} trials in a row would share one."
    )


def _split(space: SearchSpace, root: type[Spec]) -> tuple[list[str], list[str]]:
    """The dimensions that vary: those that shape programs, and the others."""
    paths, shapes = [path for path, _ in varying(space)], shaping(space, root)
    return [p for p in paths if p in shapes], [p for p in paths if p not in shapes]
