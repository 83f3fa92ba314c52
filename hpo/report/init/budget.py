"""How large a first search is: trials, epochs, batches and widths for a data set and a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from hpo.data.overview.groups import FOLDS
from hpo.data.overview.overview import Overview
from hpo.report.init.presets import Preset, suits, widths_for

# Trials and epochs of each preset, and the seconds that it may take.
_PRESETS: dict[Preset, tuple[int, int, float]] = {
    "quick": (16, 9, 60.0),
    "good": (48, 27, 600.0),
    "best": (150, 81, 7200.0),
}
# A scheduler trains most trials for a part of their epochs.
_SHARE_OF_EPOCHS = 0.35
# What a core computes in a second, by the number of weights: products of small matrices are slow.
_FLOPS_PER_CORE, _SLOW_WEIGHTS, _MOST_TIMES = 4e9, 10_000, 6
# Of fewer rows for training a linear model may do as well, with fewer and larger steps.
FEW_TO_TRAIN = 3_000
_START_SECONDS = 12.0  # of starting and compiling
_LEAST_STEPS = 20  # of an epoch, or more epochs are needed
_MOST_TRIALS, _LEAST_TRIALS = 400, 8
_FEW_ROWS = 1000
# Of more rows than these, a part is trained on where all would take over three times too long.
_MANY_ROWS, _LEAST_SHARE = 20_000, 1 / 3


@dataclass(frozen=True)
class Budget:
    """The size of a search; `seconds` estimates how long it takes, `timeout` is what was asked.

    Few rows are validated in `folds`. Of very many, `rows` are trained on. `preset` is that
    of a table, None for other data.
    """

    trials: int
    epochs: int
    batch_size: int
    widths: tuple[tuple[int, ...], ...]
    seconds: float
    timeout: float | None = None
    folds: int | None = None
    rows: int | None = None
    preset: Preset | None = None


def budget_for(
    overview: Overview,
    preset: Preset,
    timeout: float | None,
    cores: int,
    *,
    has_model: bool = False,
) -> Budget:
    """The size of a first search of a data set.

    Where a file of another tool `has_model`, the search is not that of the preset for tables.
    """
    trials, epochs, allowed = _PRESETS[preset]
    share_of_epochs = _SHARE_OF_EPOCHS
    is_preset = suits(overview) and not has_model
    if is_preset:  # every trial trains to its end, so there are fewer of them
        trials, share_of_epochs = round(trials * _SHARE_OF_EPOCHS), 1.0
    rows = max(1, round(0.6 * overview.rows))
    batch = next((size for limit, size in _BATCHES if rows < limit), 1024)
    folds = FOLDS if _needs_folds(overview) else None
    while batch > 1 and batch > _least_rows(overview, folds) / 2:
        batch //= 2
    widths = (widths_for(rows),) if is_preset else _widths(overview, rows)
    if rows / batch < _LEAST_STEPS:
        epochs *= 3
    if timeout is not None:
        allowed = timeout
    # Forward and backward pass: 6 operations for each weight and row.
    weights = _weights(overview, widths[-1])
    speed = _FLOPS_PER_CORE * cores * min(_MOST_TIMES, max(1.0, weights / _SLOW_WEIGHTS))
    epoch_seconds = 6.0 * weights * rows * (folds or 1) / speed
    least = max(allowed - _START_SECONDS, allowed / 2)
    while epochs > 3 and _LEAST_TRIALS * share_of_epochs * epochs * epoch_seconds > least:
        epochs = max(3, epochs // 3)
    trial_seconds = share_of_epochs * epochs * epoch_seconds
    kept: int | None = None
    share = allowed / max(1e-9, _LEAST_TRIALS * trial_seconds)
    if share < _LEAST_SHARE and overview.rows > _MANY_ROWS and "split" not in overview.options:
        kept = max(_MANY_ROWS, 1000 * round(overview.rows * share / 1000))
        trial_seconds *= kept / overview.rows
    fitting = int(max(0.0, allowed - _START_SECONDS) / max(trial_seconds, 0.05))
    if timeout is not None:
        trials = min(fitting, _MOST_TRIALS)
    trials = max(_LEAST_TRIALS, min(trials, fitting))
    seconds = _START_SECONDS + trials * trial_seconds
    return Budget(
        trials, epochs, batch, widths, seconds, timeout, folds, kept, preset if is_preset else None
    )


def written_budget(guess: Budget, document: Mapping[str, Any]) -> Budget:
    """The size of a search that a spec says, from that of another search of the same data."""
    search, data = document["search"], document["data"]
    trials, epochs, folds = search["trials"], document["train"]["epochs"], data.get("folds")
    times = trials * epochs * (folds or 1) / (guess.trials * guess.epochs * (guess.folds or 1))
    return replace(
        guess,
        trials=trials,
        epochs=epochs,
        batch_size=data["batch_size"],
        folds=folds,
        seconds=_START_SECONDS + times * (guess.seconds - _START_SECONDS),
    )


_BATCHES = ((1_000, 32), (10_000, 64), (50_000, 128), (200_000, 256), (1_000_000, 512))


def _needs_folds(overview: Overview) -> bool:
    """Whether one validation split would decide by chance, and each class has rows for folds."""
    fewest = min(overview.target.classes.values(), default=overview.rows)
    is_series = isinstance(overview.dataset, Mapping) and "window" in overview.dataset
    is_mask = overview.target.task == "segmentation"  # whose classes are of pixels
    has_own = is_mask or "column" in overview.options.get("split", {}) or not overview.can_fold
    return overview.rows < _FEW_ROWS and fewest >= 3 * FOLDS and not is_series and not has_own


def _least_rows(overview: Overview, folds: int | None) -> float:
    """About how many rows train, of the smallest fold; of folds forward in time it is the first."""
    is_forward = folds is not None and "time" in overview.options.get("split", {})
    return 0.8 * overview.rows / (folds + 1) if folds and is_forward else 0.6 * overview.rows


def _widths(overview: Overview, rows: int) -> tuple[tuple[int, ...], ...]:
    """Hidden layers to choose from: few or none for few rows, small ones for many features."""
    if isinstance(overview.dataset, Mapping) and "window" in overview.dataset:
        return ((), (32,), (64,))  # a linear forecast is hard to beat
    if overview.features >= 2_000:
        return ((16,), (32,), (64,))
    if rows < 300:
        return ((), (16,), (32,), (32, 32))
    if rows < FEW_TO_TRAIN:
        return ((), (32,), (64, 64), (128, 128))
    return ((64, 64), (128, 128), (256, 256))


def _weights(overview: Overview, widths: tuple[int, ...]) -> int:
    if overview.shape:
        # A convolution weighs little and computes much: each filter passes over each pixel.
        pixels = overview.shape[0] * overview.shape[1]
        return pixels * 9 * 32 * (1 + 64 // 4)
    target = overview.target
    outputs = len(target.names) if target.task in ("multilabel", "regression") else 0
    layers = [max(1, overview.features), *widths, outputs or max(1, len(target.classes))]
    return sum(one * other for one, other in pairwise(layers))
