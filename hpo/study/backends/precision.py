"""`train.precision: auto`: measured once for each program, before its first trial, and kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hpo.data.dataset import DataSet
from hpo.engine.mesh import Place, devices_of
from hpo.engine.pools.pool import Pool
from hpo.engine.program import split
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.plans import Form, Plan, Plans
from hpo.errors import DeviceError
from hpo.spec.experiment import Experiment, Training
from hpo.spec.fill import with_rows
from hpo.spec.marks import with_leaves
from hpo.spec.roots import with_precision
from hpo.spec.techniques.clashes import clashes
from hpo.study.backends.pretrained import with_start
from hpo.study.log.events import Draw
from hpo.study.log.notes import Precision
from hpo.trial import Run

if TYPE_CHECKING:
    from hpo.study.storage.journal import Journal  # imports SQLAlchemy

AUTO: Final = "auto"
_LEAF, _USUAL = "train.precision", "float32"
# CPUs have no arithmetic for float16.
_CANDIDATES = {"cpu": (_USUAL, "bfloat16")}
_ALL = (_USUAL, "bfloat16", "float16")
# At least two epochs train, and more of them while they are short.
_MOST_EPOCHS, _TIMED_SECONDS = 20, 0.5
# Another precision must take less than this share of the time of float32, and its loss must not
# exceed that of float32 by more than this share.
_GAIN, _TOLERANCE = 0.9, 0.02


class Figures(NamedTuple):
    """The seconds of an epoch in a precision, and the validation loss after the second one."""

    seconds: float
    loss: float


class Precisions:
    """The precision of each program of a study whose spec leaves it to hpo.

    A program is measured before its first trial, while no other one trains (`alone`). It keeps what
    the study has noted of it.
    """

    def __init__(
        self,
        place: Place,
        cache: Path | None,
        journal: Journal,
        say: Callable[[str], None],
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._place, self._compiler, self._alone = place, Compiler(cache), alone
        self._journal, self._say = journal, say
        self._known = {
            note.program: note for note in journal.state.notes if isinstance(note, Precision)
        }

    def settled(
        self, training: Training, data: DataSet, varying: Set[str] = frozenset()
    ) -> Training:
        """A training in the precision of its program."""
        if training.train.precision != AUTO:
            return training
        platform = devices_of(self._place)[0].platform
        usual = with_leaves(training, {_LEAF: _USUAL})
        label = split(usual, data, platform, varying)[0].label
        # A study of an earlier release has noted one precision for all programs.
        known = self._known.get("") or self._known.get(label)
        if known is None:
            known = replace(self._measured(training, data, varying), program=label)
            self._known[label] = known
            self._journal.record(known)
            self._say(str(known))
        return with_leaves(training, {_LEAF: known.name})

    def _measured(self, training: Training, data: DataSet, varying: Set[str]) -> Precision:
        try:
            with self._alone():
                found = measured(training, data, self._place, self._compiler, varying)
        except DeviceError as error:  # beside trials that train, the memory may be too small
            return Precision(_USUAL, f"others could not be measured ({error})")
        return best_precision(found)

    def note(self, number: int, training: Training) -> None:
        """Note the precision of a trial, which `hpo export` and `hpo show` read."""
        state, values = self._journal.state, {_LEAF: training.train.precision}
        if number in state.unfinished and _LEAF not in state.drawn.get(number, {}):
            self._journal.record(Draw(values), number)


def settled_precision(
    experiment: Experiment,
    data: DataSet,
    place: Place,
    cache: Path | None,
    explain: Callable[[str], None],
) -> Experiment:
    """An experiment of a single training in the best precision now, unless its spec names one."""
    if experiment.training.train.precision != AUTO:
        return experiment
    training = with_rows(experiment.training, data.train_rows)
    training = with_start(training, data, experiment.folder)
    found = best_precision(measured(training, data, place, Compiler(cache)))
    explain(str(found))
    return with_precision(experiment, found.name)


def measured(
    training: Training,
    data: DataSet,
    place: Place,
    compiler: Compiler,
    varying: Set[str] = frozenset(),
) -> dict[str, Figures]:
    """The figures of each precision that may pay on a device, for the first epochs of a trial."""
    platform = devices_of(place)[0].platform
    pool, found = Pool(place, compiler), {}
    form: Form = "map" if platform == "cpu" else "vmap"
    for name in candidates(training, platform):
        own = with_leaves(training, {_LEAF: name})
        program, knobs = split(own, data, platform, varying)
        pool.load(program, Plans(Plan(form, len(devices_of(place)))), data)
        pool.put(0, Run(0), own, knobs, None, min(_MOST_EPOCHS, training.train.epochs))
        found[name] = _figures(pool)
    return found


def candidates(training: Training, platform: str) -> tuple[str, ...]:
    """The precisions that may pay on a platform and go with the techniques of a training."""
    names = _CANDIDATES.get(platform, _ALL)
    found = {name: with_leaves(training, {_LEAF: name}) for name in names}
    return tuple(name for name, own in found.items() if not any(clashes(own)))


def _figures(pool: Pool) -> Figures:
    """The quickest of the epochs of a pool's only lane, and the loss after the second one."""
    seconds, losses, epochs = 0.0, [math.nan], [math.inf]
    while pool.has_work and (len(epochs) < 3 or sum(epochs[1:]) < _TIMED_SECONDS):
        start = time.perf_counter()
        reports = pool.round()
        seconds += time.perf_counter() - start
        for report in reports:
            losses.append(report.metrics["loss"])
            epochs.append(seconds)
            seconds = 0.0
    return Figures(min(epochs), losses[:3][-1])


def best_precision(figures: Mapping[str, Figures]) -> Precision:
    """The quickest precision that learns as well as float32, if it is clearly quicker."""
    usual = figures[_USUAL]
    most = usual.loss + _TOLERANCE * abs(usual.loss)
    fitting = [name for name, each in figures.items() if each.loss <= most]
    quickest = min(fitting, key=lambda name: figures[name].seconds, default=_USUAL)
    chosen = quickest if figures[quickest].seconds < _GAIN * usual.seconds else _USUAL
    others = ", ".join(
        f"{name} took {each.seconds / usual.seconds:.2f} of that, with a loss of {each.loss:.4g}"
        for name, each in figures.items()
        if name != _USUAL
    )
    why = f"float32 took {usual.seconds:.2g} s for an epoch, with a loss of {usual.loss:.4g}"
    return Precision(chosen, f"{why}; {others}" if others else why)
