"""What the engine needs for each trial: its filled-in spec, its program and the program's plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hpo.engine.labels import earlier_labels
from hpo.engine.pools.occupant import Changes
from hpo.engine.program import Program
from hpo.engine.programs.plans import Plan, Plans
from hpo.engine.task_program import AnyProgram
from hpo.errors import ExportError
from hpo.spec.code.frames import CodeError
from hpo.spec.experiment import Training
from hpo.study.executors.messages import Arrays, DataReference
from hpo.study.log.events import Pin
from hpo.study.loop.assign import Setup
from hpo.study.loop.rung_sizes import RungSizes
from hpo.trial import HParams, Run

if TYPE_CHECKING:
    from hpo.study.storage.journal import Journal  # imports SQLAlchemy


@dataclass(frozen=True)
class Work:
    """A trial made ready: its filled-in spec, its program, and the name of its data."""

    training: Training
    program: AnyProgram
    knobs: np.ndarray
    data: DataReference
    changes: Changes = ()
    costs: Mapping[str, float] = field(default_factory=dict)  # that are known before it trains

    @cached_property
    def setup(self) -> Setup:
        """The setup that a pool needs to train the trial."""
        return Setup(self.program.label, self.data)


# What a trial predicts for the validation rows, by its work and the last states of its runs, by
# their keys in a trial 0. None where nothing is to be kept.
Predict: TypeAlias = Callable[[Work, Mapping[str, Arrays]], np.ndarray | None]


class WorkOfTrials:
    """The work of the trials that have not ended, and the pinned plans of their programs.

    `too_large` gives the reason for each program, by label, that fits no device. `broken` gives
    that of each trial whose own code cannot train it or judge it, or that cannot be exported.
    """

    def __init__(
        self,
        journal: Journal,
        prepare: Callable[[HParams, int], Work],
        plans: Plans,
        sizes: RungSizes | None = None,
    ) -> None:
        self.too_large: dict[str, str] = {}
        self.broken: dict[int, str] = {}
        self._journal, self._prepare, self._plans = journal, prepare, plans
        self._sizes = sizes
        # By number, then by the size of images; None where they are whole.
        self._work: defaultdict[int, dict[int | None, Work]] = defaultdict(dict)
        self._pinned: dict[str, Plan] = {}

    def size_of(self, run: Run) -> int | None:
        """The longer side of the images of a run; None where they are whole."""
        return None if self._sizes is None else self._sizes.at(run.budget)

    def of(self, number: int, size: int | None = None) -> Work:
        """The work of a trial on images of a size, prepared at the first call."""
        known = self._work[number]
        if size not in known:
            lineage = self._journal.state.lineage(number)
            own: HParams = {} if size is None else {"data.image_size": size}
            # The first trial of the lineage gave the weights and the random stream.
            first, *later = (self._prepare({**s.hparams, **own}, lineage[0].trial) for s in lineage)
            assert all((w.program, w.data) == (first.program, first.data) for w in later)
            changes = zip((s.after for s in lineage[1:]), (w.knobs for w in later), strict=True)
            known[size] = replace(first, changes=(*first.changes, *changes))
            self._follow_earlier_pin(first.program)
        return known[size]

    def forget(self, number: int) -> None:
        """Drop the work of a trial that has ended or was replaced."""
        self._work.pop(number, None)

    def can_train(self, number: int) -> bool:
        """Whether a trial's work can be prepared: its own code may fail with its values."""
        try:
            self.of(number)
        except (CodeError, ExportError) as error:
            self.broken[number] = str(error)
            return False
        return True

    def fits(self, number: int) -> bool:
        """Whether a trial's program fits the devices, as far as known."""
        return not self.too_large or self.of(number).program.label not in self.too_large

    def give_up(self, label: str, reason: str) -> list[int]:
        """Note that a program fits no device; gives the trials that end because of that."""
        self.too_large[label] = reason
        return [
            number
            for number, known in self._work.items()
            if any(work.program.label == label for work in known.values())
        ]

    def plans_of(self, label: str) -> Plans:
        """The plans of a program: its pinned plan alone, or those to choose from."""
        if label not in self._pinned:
            pins = self._journal.state.pins
            if label not in pins:
                return self._plans
            self._pinned[label] = Plan.from_pin(pins[label])
        return Plans(self._pinned[label])

    def lanes_of(self, setup: Setup) -> int:
        """How many lanes a pool of that setup has, as far as known."""
        return self.plans_of(setup.program).usual.lanes

    def together(self, number: int) -> int:
        """How many lanes of a device train at once by a trial's plan; 0 without work."""
        known = self._work.get(number, {})
        plans = (self.plans_of(work.program.label).usual for work in known.values())
        return max((plan.together for plan in plans), default=0)

    def pin(self, program: AnyProgram, plan: Plan) -> None:
        """Pin a plan for the rest of the study, or until the number of devices changes."""
        self.plans_of(program.label)  # reads the pin, if there is one
        pinned = self._pinned.get(program.label)
        if pinned is None or (pinned, pinned.devices) != (plan, plan.devices):
            self._pinned[program.label] = plan
            self._journal.record(Pin(program.label, {**plan.pin(), "program": str(program)}))

    def _follow_earlier_pin(self, program: AnyProgram) -> None:
        """Take the plan that an earlier release pinned under its own label of the program."""
        pins = self._journal.state.pins
        if not pins or program.label in pins or program.label in self._pinned:
            return
        for label in earlier_labels(program) if isinstance(program, Program) else ():
            if label in pins:
                self._pinned[program.label] = Plan.from_pin(pins[label])
