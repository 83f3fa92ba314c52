"""Rungs: the budgets at which trials are compared, and how many go on; whole numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from hpo.errors import HpoError
from hpo.search.scheduler import Bracket


def rung_budgets(min_budget: int, max_budget: int, eta: int) -> tuple[int, ...]:
    """Budgets (epochs) at which trials are compared, smallest first; the last is a full run.

    Each rung has at least `eta` times the budget of the one before; with an `eta` of 3,
    `(1, 3, 9, 27)` for 1 to 27.

    Raises:
        ValueError: unless 1 <= min_budget <= max_budget and eta >= 2.

    Source: Li et al. 2018, "Hyperband" (arXiv:1603.06560), Algorithm 1, inner loop.
    """
    if not 1 <= min_budget <= max_budget or eta < 2:
        raise ValueError(f"no rungs for {min_budget=}, {max_budget=}, {eta=}")
    budgets = [max_budget]
    # Whole-number division: floor(log(243, 3)) is 4 in floating point and would lose a rung.
    while budgets[-1] // eta >= min_budget:
        budgets.append(budgets[-1] // eta)
    return tuple(reversed(budgets))


def rung_sizes(trials: int, rungs: int, eta: int) -> tuple[int, ...]:
    """How many of a bracket's trials train to each rung: 1 in `eta` goes on, and at least one.

    Source: Li et al. 2018, Algorithm 1, inner loop. "At least one" is ours, for brackets that the
    end of the study cuts short.
    """
    sizes = [trials]
    while len(sizes) < rungs:
        sizes.append(max(1, sizes[-1] // eta))
    return tuple(sizes)


def in_turn(
    ladders: Sequence[tuple[int, tuple[int, ...]]], trials: int, eta: int
) -> tuple[Bracket, ...]:
    """Brackets of these sizes and budgets, repeated until the trials are used up."""
    if all(len(budgets) == 1 for _, budgets in ladders):
        # No trials are compared, so where one bracket ends and the next begins means nothing.
        return (Bracket(0, (trials,), ladders[0][1]),)
    one_round = [(rung_sizes(size, len(budgets), eta), budgets) for size, budgets in ladders]
    offsets = list(accumulate((size for size, _ in ladders), initial=0))
    length = offsets.pop()
    # A comprehension, because `hpo check` waits for what may be half a million brackets.
    found = [
        Bracket(start + offset, sizes, budgets)
        for start in range(0, trials, length)
        for offset, (sizes, budgets) in zip(offsets, one_round, strict=True)
        if start + offset < trials
    ]
    first, sizes, budgets = found[-1]
    last = rung_sizes(min(sizes[0], trials - first), len(budgets), eta)
    return (*found[:-1], Bracket(first, last, budgets))


def budgets_of(min_epochs: int, epochs: int, eta: int) -> tuple[int, ...]:
    """The rungs of a study whose trials have at most `epochs`.

    Raises:
        HpoError: if the first rung lies beyond the last epoch.
    """
    check_min_epochs(min_epochs, epochs)
    return rung_budgets(min_epochs, epochs, eta)


def check_min_epochs(min_epochs: int, epochs: int) -> None:
    """Refuse a first comparison after the last epoch.

    Raises:
        HpoError: if it is.
    """
    if min_epochs > epochs:
        raise HpoError(
            f"search.scheduler.min_epochs ({min_epochs}) is more than train.epochs ({epochs}): "
            "lower it, or train for longer."
        )
