"""What trains the trials of a study."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hpo.engine.programs.plans import Plans
from hpo.spec.code.own_command import CommandTraining
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.experiment import Experiment
from hpo.study.executors.messages import Executor
from hpo.study.loop.rung_sizes import RungSizes
from hpo.study.loop.work import Predict, Work
from hpo.study.storage.provenance import Provenance
from hpo.study.surroundings import Surroundings
from hpo.trial import HParams

if TYPE_CHECKING:
    from hpo.study.baselines.beside import Baselines  # imports JAX
    from hpo.study.storage.journal import Journal  # imports the database, which hpo train needs not


@dataclass(frozen=True)
class Crew:
    """A backend at work: its executor, what makes a trial's work, and the plans of new programs.

    `look` is called about ten times a second, and `close` once the study has stopped. `sizes` are
    those of images, where they grow from rung to rung. `predict` is None for what trains no model
    of ours.
    """

    executor: Executor
    prepare: Callable[[HParams, int], Work]
    plans: Plans
    look: Callable[[], None]
    close: Callable[[], None]
    sizes: RungSizes | None = None
    predict: Predict | None = None


class Backend(Protocol):
    """What trains the trials of a study. Making one checks the spec, before a study is opened."""

    @property
    def provenance(self) -> Provenance:
        """The libraries, the device and the data that results depend on."""
        ...

    def start(
        self, journal: Journal, explain: Callable[[str], None], stack: ExitStack, *, learns: bool
    ) -> Crew:
        """Start to work for an open study until `stack` ends it.

        `learns` says whether the sampler learns from results.
        """
        ...

    def baselines(self, journal: Journal, spent_seconds: float) -> Baselines | None:
        """The baselines of an open study whose earlier runs took so long; None for none."""
        ...


def backend_of(experiment: Experiment, around: Surroundings, say: Callable[[str], None]) -> Backend:
    """The backend that the spec's training asks for; `say` gets messages for the user.

    Raises:
        HpoError: for what the spec asks for and this machine or the data cannot give.
    """
    if isinstance(experiment.training, TaskTraining):
        from hpo.study.backends.tasks import TaskBackend

        return TaskBackend(experiment, around, say)
    if isinstance(experiment.training, CommandTraining):
        from hpo.study.backends.commands import CommandBackend

        return CommandBackend(experiment, around, say)
    from hpo.study.backends.lanes import LaneBackend

    return LaneBackend(experiment, around, say)
