"""The models of the trials of an ensemble: taken over, made of kept weights, or trained."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from hpo.data.cache import DataCache
from hpo.data.dataset import DataSet
from hpo.engine.devices import local_devices
from hpo.engine.pools.occupant import EpochReport
from hpo.engine.pools.pool import Pool
from hpo.engine.programs.compiler import Compiler
from hpo.engine.programs.executables import use_jax_cache
from hpo.errors import HpoError
from hpo.spec.experiment import Experiment
from hpo.spec.file.dump import dump_spec
from hpo.spec.sections.compression.teacher import teacher_of
from hpo.study.backends.datasets import DataSets
from hpo.study.backends.pretrained import weights_of
from hpo.study.ensembles.rows import Candidate
from hpo.study.ensembles.together import (
    Ended,
    Member,
    can_train_together,
    is_begun,
    train_together,
)
from hpo.study.progress import Progress
from hpo.study.signals import StoppedError, StopRequest
from hpo.study.storage.provenance import Provenance, library_versions
from hpo.study.storage.trust import code_of
from hpo.study.surroundings import Surroundings
from hpo.study.train import datasets_of, kept_end, made_ready, save_end, train_to_folder
from hpo.study.unfinished import Point, taken_text
from hpo.trained.ensembles.write import name_of
from hpo.trained.load import metrics_document
from hpo.trained.save import MEMBERS_FOLDER, SPEC_FILE, partial_of


class Display(Protocol):
    """Shows how the training of one trial gets on."""

    def watch(self, report: EpochReport) -> None: ...

    def say(self, sentence: str) -> None: ...


class TogetherDisplay(Protocol):
    """Shows how trials get on that train together."""

    def watch(self, progress: Progress) -> None: ...

    def say(self, sentence: str) -> None: ...


class Displays(NamedTuple):
    """Give the display of all trials that train together, and that of one which trains alone."""

    together: Callable[[], AbstractContextManager[TogetherDisplay]]
    alone: Callable[[Any], AbstractContextManager[Display]]


class Sources:
    """The data sets of candidates, of which each is read once."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._plain: dict[Path, DataSets] = {}

    def plain(self, experiment: Experiment) -> DataSets:
        """Those of a candidate without the answers of a teacher."""
        folder, around = experiment.folder, self._around
        if folder not in self._plain:
            self._plain[folder] = DataSets(folder, around.data_home, DataCache(around.data_cache))
        return self._plain[folder]

    def of(self, experiment: Experiment) -> DataSets:
        """Those of a candidate that is to train."""
        is_taught = teacher_of(experiment.training) is not None
        return datasets_of(experiment, self._around) if is_taught else self.plain(experiment)


class Made(NamedTuple):
    """A candidate's model: its folder, and its validation predictions where a search kept them."""

    folder: Path
    validated: np.ndarray | None


def trained_members(
    candidates: Sequence[Candidate],
    datas: Sequence[DataSet],
    folder: Path,
    around: Surroundings,
    sources: Sources,
    displays: Displays,
    say: Callable[[str], None],
    stop: StopRequest,
    *,
    is_replaced: bool,
) -> list[Made]:
    """The candidates' models, in folders below the unfinished one of the ensemble in `folder`.

    Models that are there, or in `folder`, are taken over. Weights that a search has kept are used.
    All others train, together where they can.

    Raises:
        StoppedError: once `stop` is set; what is trained is kept for the next call.
    """
    waiting = [
        one
        for one, data in zip(candidates, datas, strict=True)
        if not _is_taken_over(one, data, folder, say)
    ]
    kept: Mapping[int, np.ndarray | None] = {}
    if waiting:
        use_jax_cache(around.cache)
        kept = _Training(waiting, folder, around, sources, displays, say, stop).run(is_replaced)
    return [Made(_place(folder, one), kept.get(one.number)) for one in candidates]


def _place(folder: Path, candidate: Candidate) -> Path:
    """Where a candidate's model is written."""
    return partial_of(folder) / MEMBERS_FOLDER / name_of(candidate.number)


def _is_taken_over(
    candidate: Candidate, data: DataSet, folder: Path, say: Callable[[str], None]
) -> bool:
    """Whether a run before this one has trained a candidate; its model is then in its place."""
    place = _place(folder, candidate)
    for known in (place, folder / MEMBERS_FOLDER / place.name):
        if _holds(known, candidate.experiment, data):
            say(f"Trial {candidate.number} is trained already.")
            if known != place:
                shutil.rmtree(place, ignore_errors=True)
                shutil.copytree(known, place)
            return True
    shutil.rmtree(place, ignore_errors=True)
    return False


def _holds(place: Path, experiment: Experiment, data: DataSet) -> bool:
    """Whether a folder holds the model of this spec, data and code, trained by this version."""
    try:
        spec = (place / SPEC_FILE).read_text(encoding="utf-8")
        provenance = dict(metrics_document(place)["provenance"])
    except (HpoError, OSError, UnicodeError, KeyError, TypeError, ValueError):
        return False
    training = experiment.training
    expected = Provenance(
        library_versions(), "", data.fingerprint, code_of(training), weights_of(experiment)
    )
    wanted = {**expected.to_document(), "device": ""}
    return spec == dump_spec(experiment.document) and {**provenance, "device": ""} == wanted


@dataclass(frozen=True)
class _Training:
    """The training of the candidates that have no model yet."""

    waiting: Sequence[Candidate]
    folder: Path
    around: Surroundings
    sources: Sources
    displays: Displays
    say: Callable[[str], None]
    stop: StopRequest

    def run(self, is_replaced: bool) -> Mapping[int, np.ndarray | None]:
        """Write the model of each candidate; gives the kept predictions of those not trained."""
        said: set[str] = set()

        def say_once(sentence: str) -> None:
            if sentence not in said:
                self.say(sentence)
            said.add(sentence)

        ready, new = {}, []
        for one in self.waiting:
            own = made_ready(one.experiment, self.around, say_once, self.sources.of(one.experiment))
            end = kept_end(one.kept, own)
            point = None if end is None else Point.of_kept(end)
            ready[one.number] = own = own.settled(point, self.around, say_once)
            if end is None:
                new.append(Member(one.number, own))
        ends = self._together(new)
        compiler = Compiler(self.around.cache)
        pool = Pool(local_devices(self.around.device)[0], compiler)
        predictions = {}
        for one in self.waiting:
            self._look()
            own, ended = ready[one.number], ends.get(one.number)
            kept = one.kept if ended is None else ended.kept
            seconds = 0.0 if ended is None else ended.seconds
            end = kept_end(kept, own)
            if end is not None and save_end(
                own, end, _place(self.folder, one), pool, compiler, seconds
            ):
                if ended is None:
                    self.say(taken_text(one.number))
                predictions[one.number] = end.predictions
                continue
            self._alone(one, is_replaced)
        return predictions

    def _together(self, members: Sequence[Member]) -> Mapping[int, Ended]:
        """The ends of members that have trained together."""
        able, partial = can_train_together(members), partial_of(self.folder)
        # The name of a database may not hold the mark that its options begin with.
        if "?" in str(partial.absolute()) or not able or (len(able) == 1 and not is_begun(partial)):
            return {}
        with self.displays.together() as display:
            ends = train_together(able, partial, self.around, display.watch, display.say, self.stop)
        self._look()
        return ends

    def _alone(self, candidate: Candidate, is_replaced: bool) -> None:
        """Train a candidate as `hpo train` does."""
        with self.displays.alone(candidate) as display:
            try:
                train_to_folder(
                    candidate.experiment,
                    _place(self.folder, candidate),
                    self.around,
                    display.watch,
                    display.say,
                    self.stop,
                    is_replaced,
                    must_converge=True,
                )
            except StoppedError:
                self._look()
                raise

    def _look(self) -> None:
        """Raise once a stop is asked for."""
        if self.stop.obey():
            text = f"stopped: {self.folder} was not written; the same command goes on."
            raise StoppedError(text, self.stop.signal or signal.SIGINT) from None
