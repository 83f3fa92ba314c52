"""Which numbers of own code are knobs: decided once, by a trace, and kept in the study."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hpo.data.dataset import DataSet
from hpo.engine.models.abstract import shapes_of
from hpo.engine.models.look import is_remade, look_at_rows, static_numbers
from hpo.engine.program import Program, split
from hpo.engine.training.batches import judged_shape
from hpo.engine.training.own_functions import static_numbers_of_functions
from hpo.errors import HpoError
from hpo.registry import SCHEDULERS
from hpo.spec.code.own_code import CompiledCode, code_sections
from hpo.spec.code.own_model import OwnModel
from hpo.spec.experiment import Experiment, Training
from hpo.spec.fill import with_rows
from hpo.spec.load import require_search
from hpo.spec.roots import with_static
from hpo.study.log.notes import Numbers, decided_numbers

if TYPE_CHECKING:
    from hpo.study.storage.journal import Journal  # imports SQLAlchemy


def decide(
    training: Training, data: DataSet, platform: str, say: Callable[[str], None]
) -> Numbers | None:
    """The numbers that the training's own code cannot take traced; None without such code.

    `say` gets what the user should know of the model.

    Raises:
        HpoError: for code that fails with Python numbers, too, or does not fit the data.
    """
    if not _compiled(training):
        return None
    training = with_rows(training, data.train_rows)
    program, _ = split(training, data, platform)
    static: dict[str, str] = {}
    if isinstance(training.model, OwnModel):
        check_rows(training, program, data)
        shapes = shapes_of(program)
        static |= {f"model.{n}": why for n, why in static_numbers(training.model, shapes).items()}
        if is_remade(training.model, shapes):
            say(
                f"{training.model.python} differs from call to call, as it does with random "
                "numbers of Python or NumPy, or a global that it changes. They are fixed when a "
                "program is compiled, so results do not repeat: draw numbers from rngs, and keep "
                "what changes in an nnx.Variable."
            )
    return Numbers(static | static_numbers_of_functions(program, training))


def check_rows(training: Training, program: Program, data: DataSet) -> None:
    """Refuse a model of one's own that fails at the sizes of its batches.

    Raises:
        CodeError: for an error of the user's own code, or outputs that do not fit.
    """
    if isinstance(training.model, OwnModel):
        evaluated = judged_shape(max(len(one.validation) for one in data.members))[1]
        look_at_rows(training.model, shapes_of(program), training.data.step_rows, evaluated)


def decided(experiment: Experiment, numbers: Numbers | None) -> Experiment:
    """An experiment whose own code has static numbers where that was decided."""
    return experiment if numbers is None else with_static(experiment, numbers.static.keys())


def check_changes(experiment: Experiment, numbers: Numbers | None) -> None:
    """Refuse a population that changes a number which turned out to be static.

    Raises:
        HpoError: for the first such number of the space.
    """
    scheduler = require_search(experiment).scheduler.name
    if numbers is None or not SCHEDULERS[scheduler].changes_hparams:
        return
    for path, why in numbers.static.items():
        if path in experiment.space.by_path:
            raise HpoError(
                f"space.{path}: {scheduler} changes numbers while trials train, and {why} needs a "
                "Python number: compute with jax.numpy there, or take it out of the space."
            )


def sentence(experiment: Experiment, numbers: Numbers | None) -> str:
    """Which numbers of own code are knobs, where the search has tried some; else empty."""
    if numbers is None:
        return ""
    are_tried = any(section.own.assumed for section in _compiled(experiment.training))
    return str(numbers) if numbers.static or are_tried else ""


def _compiled(training: Training) -> list[CompiledCode]:
    """The sections of own code that are parts of compiled programs."""
    sections = (section for _, section in code_sections(training))
    return [section for section in sections if isinstance(section, CompiledCode)]


def obey_or_note(numbers: Numbers | None, journal: Journal) -> Numbers | None:
    """The decision that the study has noted; a new one is noted now."""
    if numbers is None:
        return None
    known = decided_numbers(journal.state.notes)
    if known is None:
        journal.record(numbers)
    return known or numbers
