"""Numbers, times, states and hparams as reports write them; curves and bars in blocks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from hpo.spec.sections.goal import KNOWN_COSTS
from hpo.spec.sections.scheduler import Budget, SchedulerSpec, budget_of
from hpo.spec.words import count_text, shown
from hpo.study.log.events import StudyState
from hpo.study.log.ranking import leading_trial
from hpo.study.log.untrained import Untrained, untrained
from hpo.trial import HParam, HParams, TrialState

_HEIGHTS = "▁▂▃▄▅▆▇█"
_WIDTHS = " ▏▎▍▌▋▊▉█"

# The colour of each state, in the order in which they are named.
STATE_STYLES: dict[TrialState, str] = {
    TrialState.RUNNING: "cyan",
    TrialState.PAUSED: "yellow",
    TrialState.COMPLETE: "green",
    TrialState.PRUNED: "bright_black",
    TrialState.DIVERGED: "red",
    TrialState.INFEASIBLE: "magenta",
}


def number_text(value: float | None) -> str:
    """A measured number: four decimals, or four digits where it is tiny or large; `-` for none."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.4g}"


def metric_text(name: str, value: float) -> str:
    """A metric's value: counts, such as those of parameters, as whole numbers."""
    return f"{value:,.0f}" if name in KNOWN_COSTS else number_text(value)


def untrained_text(found: Untrained) -> str:
    """Says that no configuration kept the constraints, how near the nearest came and what to do."""
    misses = " and ".join(
        f"{metric_text(miss.metric, miss.value)} {miss.metric} (bound: {miss.bound})"
        for miss in found.misses
    )
    return (
        f"no configuration ({found.trials:,} tried) kept the constraints before training, and the "
        f"nearest, trial {found.nearest}, has {misses}: loosen the bound or widen the space, and "
        "run `hpo search SPEC` again"
    )


def runs_text(seeds: int, folds: int) -> str:
    """What each trial trains on, such as `8 folds` or `2 seeds of 8 folds`; empty for one run."""
    found = [f"{seeds} seeds"] if seeds > 1 else []
    found += [f"{folds} folds"] if folds > 1 else []
    return " of ".join(found)


def speed_text(epochs_a_second: float, *, is_at_once: bool) -> str:
    """A speed above 0: `146 epochs/s`, `3.2 epochs/s`, or `25 s an epoch` where epochs are long.

    With `is_at_once` a trial reports one result, and the speed is that of trials.
    """
    one, many = ("a trial", "trials") if is_at_once else ("an epoch", "epochs")
    if epochs_a_second < 1:
        return f"{seconds_text(1 / epochs_a_second)} {one}"
    digits = 0 if epochs_a_second >= 100 else 1
    return f"{epochs_a_second:,.{digits}f} {many}/s"


def diverged_text(states: Mapping[TrialState, int], study: str, *, are_processes: bool) -> str:
    """Says how many trials diverged or failed, and what that means; empty where none did."""
    count = states.get(TrialState.DIVERGED, 0)
    if not count:
        return ""
    of = f"{count:,} of {count_text(sum(states.values()), 'trial')}"
    if are_processes:
        return f"{of} failed or reported NaN: `hpo logs {study} TRIAL` shows why"
    return f"{of} diverged: a metric became NaN or infinite, or their values cannot be trained"


def hparam_text(value: HParam) -> str:
    """An hparam's value, short: `0.03878`, `relu`, `[64, 64]`."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else shown(value)


def hparams_text(hparams: HParams) -> str:
    """All of a trial's hparams in one line: `widths=[64] dropout=0.1974`."""
    names = short_names(hparams)
    return " ".join(f"{names[path]}={hparam_text(value)}" for path, value in hparams.items())


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """The shortest ending of each dotted path that no other path has."""
    paths = list(paths)

    def ending(path: str, words: int) -> str:
        return ".".join(path.split(".")[-words:])

    def shortest(path: str) -> str:
        for words in range(1, path.count(".") + 1):
            name = ending(path, words)
            if sum(ending(other, words) == name for other in paths) == 1:
                return name
        return path

    return {path: shortest(path) for path in paths}


def states_text(states: Mapping[TrialState, int]) -> str:
    """The trials by state: `8 running, 9 complete`."""
    return ", ".join(f"{states[s]:,} {s}" for s in STATE_STYLES if states.get(s)) or "none yet"


def seconds_text(seconds: float) -> str:
    """A time in words: `0.4 s`, `22 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def clock_text(seconds: float) -> str:
    """A time as a clock shows it: `0:22`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment_text(time_ms: int) -> str:
    """A moment in local time: `2025-11-22 03:19`."""
    return datetime.fromtimestamp(time_ms / 1000).strftime("%Y-%m-%d %H:%M")


def of_all_text(budget: Budget) -> str:
    """What the epochs of a study are of: ` of all rows`, or nothing where none are of less."""
    return {"epochs": "", "share": " of all rows", "size": " of all pixels"}[budget]


def scheduler_text(spec: SchedulerSpec) -> str:
    """The name of a scheduler, with that of the pruner for `optuna`: `optuna (percentile)`."""
    budget = budget_of(spec)
    if budget != "epochs":
        return f"{spec.name}, by {'shares of the rows' if budget == 'share' else 'sizes of images'}"
    pruner = getattr(spec, "pruner", None)
    return f"{spec.name} ({pruner.name})" if pruner else str(spec.name)


def search_text(sampler: str, scheduler: str) -> str:
    """How a study searches: `tpe sampler, hyperband scheduler, by shares of the rows`.

    `scheduler` is as `scheduler_text` tells it.
    """
    name, *budget = scheduler.split(", ", 1)
    return ", ".join([f"{sampler} sampler", f"{name} scheduler", *budget])


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """A block for each value, its height between the least and the greatest; `▁▄▆█` for 1, 4, 6, 8.

    More than `width` values are cut into equal stretches, each shown by its mean. A gap stands
    where nothing is finite.
    """
    columns = [_mean(part) for part in _stretches(values, width)]
    finite = [value for value in columns if math.isfinite(value)]
    if not finite:
        return " " * len(columns)
    low, high = min(finite), max(finite)
    return "".join(_block(value, low, high) for value in columns)


def bar(share: float, width: int = 24) -> str:
    """A bar of `share` (0 to 1) of `width` columns, to an eighth of a column."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    return (_WIDTHS[8] * (eighths // 8) + _WIDTHS[eighths % 8]).rstrip()


def _stretches(values: Sequence[float], width: int) -> list[Sequence[float]]:
    count = min(len(values), width)
    edges = [index * len(values) // count for index in range(count + 1)] if count else []
    return [values[start:end] for start, end in pairwise(edges)]


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return " "
    if low == high:
        return _HEIGHTS[3]
    return _HEIGHTS[round((value - low) / (high - low) * (len(_HEIGHTS) - 1))]


def no_winner_text(study: str, state: StudyState, total: int, epochs: int) -> str:
    """Why a study of `total` trials has no winner, and what to do."""
    none = untrained(state)
    if none is not None:
        return f"study '{study}': {untrained_text(none)}, or export any with --trial N."
    states = Counter(trial.state for trial in state.trials)
    if states.keys() == {TrialState.DIVERGED}:
        return (
            f"study '{study}': every trial has diverged ({len(state.trials):,} in all), so none "
            "can win: search a space of lower learning rates, or export any with --trial N."
        )
    if states.keys() == {TrialState.DIVERGED, TrialState.INFEASIBLE}:
        return (
            f"study '{study}': every trial has diverged ({states[TrialState.DIVERGED]:,}) or broken"
            f" the constraints before training ({states[TrialState.INFEASIBLE]:,}), so none can "
            "win. Loosen the bounds, search a space of lower learning rates, or export any with "
            "--trial N."
        )
    leader = leading_trial(state.trials)
    is_over = len(state) >= total and not state.unfinished
    way_on = _way_on(study, state, is_over)
    if leader is not None and leader.is_full:
        bounds = ", ".join(map(str, state.goal.constraints))
        return (
            f"study '{study}': no trial that has trained to all {epochs} epochs keeps the "
            f"constraints ({bounds}), the leading one is trial {leader.number}: {way_on}, "
            "or export any with --trial N."
        )
    reached = (
        "none has a result"
        if leader is None
        else f"the leading one is trial {leader.number} after {count_text(leader.epochs, 'epoch')}"
    )
    yet = "" if is_over else " yet"
    return (
        f"study '{study}': no trial has trained to all {epochs} epochs{yet}, {reached}: {way_on}, "
        "or export any with --trial N."
    )


def _way_on(study: str, state: StudyState, is_over: bool) -> str:
    """What to do so that a study without a winner gets one."""
    match state.stop.reason if state.stop is not None else None:
        case "target" | "no_improvement" | "epochs" as rule:
            return f"change search.stop.{rule} in the spec and run `hpo search SPEC` again"
        case "exhausted" | "none_found":
            return "widen the space in the spec and run `hpo search SPEC` again"
    return f"go on with `hpo resume {study}{' --trials N' if is_over else ''}`"


def no_such_trial_text(study: str, state: StudyState, number: int) -> str:
    """That a study has no trial with a number, and which it has."""
    trials = f"its trials are 0 to {len(state) - 1}" if len(state) else "it has none yet"
    return f"study '{study}' has no trial {number}: {trials}."
