"""Finds the space of an objective that asks for its values, as those of Optuna do, by running it.

A run gets random values and ends at its first report. The study stores the space that was found,
so that it is found once.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from hpo.engine.programs.plans import Plan, Plans
from hpo.errors import HpoError
from hpo.spec.code.own_command import is_free
from hpo.spec.experiment import Experiment
from hpo.spec.load import experiment_from_document, finds_space, require_search
from hpo.spec.marks import with_leaves
from hpo.spec.words import count_text
from hpo.study.backends.commands import CommandBackend
from hpo.study.backends.trial_folders import TrialFolders
from hpo.study.executors.messages import Clear, DataReference, Failed, Load, Put, Reported
from hpo.study.executors.processes import Launch, ProcessExecutor
from hpo.study.executors.record import json_lines
from hpo.study.storage.tables import NothingStoredError, Storage
from hpo.study.surroundings import Surroundings
from hpo.trial import Run

_MOST_RUNS, _QUIET_RUNS = 20, 5
_SAY_SECONDS = 2.0
_ASKED = "asked.jsonl"  # what a run asks for, in its folder
# An entry of a spec's `space`.
Entry = Mapping[str, Any]


def with_space(
    experiment: Experiment, around: Surroundings, say: Callable[[str], None]
) -> Experiment:
    """An experiment whose space is known: that of the stored study, or one that runs find.

    Raises:
        HpoError: for an objective that fails or asks for no value.
    """
    if not finds_space(experiment):
        return experiment
    space = None if around.starts_over else _stored(experiment, around)
    if space is None:
        space = SpaceFinder(experiment, around, say).find()
    training: Any = experiment.training
    document = {**experiment.document, "space": space}
    found = experiment_from_document(document, experiment.folder, training.command.text)
    require_search(found)
    return found


def _stored(experiment: Experiment, around: Surroundings) -> Any:
    """The space of the study of that name; None where there is no such study."""
    with suppress(NothingStoredError), Storage.read(around.storage) as storage:
        record = storage.find(experiment.name)
        return None if record is None else record.document.get("space") or None
    return None


class SpaceFinder:
    """Runs an objective until five runs in a row name nothing new, at most 20 times."""

    def __init__(
        self, experiment: Experiment, around: Surroundings, say: Callable[[str], None]
    ) -> None:
        training: Any = with_leaves(experiment.training, {"train.epochs": 1})
        self._experiment, self._training = experiment, training
        self._text, self._say = training.command.text, say
        self._backend = CommandBackend(experiment, around, lambda _: None)
        self._folders = TrialFolders(self._backend.folders.path / "finding")
        self._entries: dict[str, Entry] = {}
        self._names: dict[str, str] = {}  # by leaf
        self._failures: list[str] = []
        self._has_reports = False

    def find(self) -> dict[str, Any]:
        """The space, which does not depend on how many runs there are at once.

        Raises:
            HpoError: for an objective that fails or asks for no value.
        """
        self._say(
            f"Finds the space by running {self._training.command.own.code}: each run ends at its "
            f"first report, and five that name nothing new are the last (of at most {_MOST_RUNS})."
        )
        shutil.rmtree(self._folders.path, ignore_errors=True)
        began = said = time.monotonic()
        done, last_new = 0, -1
        lanes = min(self._backend.slots, _QUIET_RUNS)
        settings = replace(self._backend.settings(), folder=str(self._folders.path))
        settings = replace(settings, metrics=settings.metrics[:1])
        executor = ProcessExecutor(settings, self._launch, self._failures.append)
        try:
            executor.send(0, [_load(self._text, lanes)])
            while done < _MOST_RUNS and done - last_new <= _QUIET_RUNS:
                # No more at once than are needed in any case.
                left = min(_MOST_RUNS - done, _QUIET_RUNS + last_new + 1 - done)
                numbers = range(done, done + min(lanes, left))
                self._run(executor, numbers)
                for number in numbers:
                    last_new = number if self._take(number) else last_new
                done = numbers.stop
                if time.monotonic() - said > _SAY_SECONDS:
                    said = time.monotonic()
                    text = f"{done} of at most {_MOST_RUNS} runs ({said - began:.0f} s)"
                    self._say(f"Finds the space by running {self._text}: {text}.")
        finally:
            executor.close()
        self._end(done, time.monotonic() - began)
        return dict(self._entries)

    def _run(self, executor: ProcessExecutor, numbers: range) -> None:
        """Run the objective with each of these numbers, all at once."""
        for lane, number in enumerate(numbers):
            training = with_leaves(self._training, {"train.stream": number})
            none = np.zeros(0, np.float32)
            executor.send(0, [Put(lane, Run(number), training, none, None, 1)])
        pending = set(numbers)
        while pending:
            for message in executor.receive(_SAY_SECONDS):
                if isinstance(message, Failed):
                    raise self._broken() if self._failures else message.error
                if isinstance(message, Reported):
                    pending -= {report.run.trial for report in message.reports}
        executor.send(0, [Clear(lane) for lane, _ in enumerate(numbers)])

    def _launch(self, put: Put, load: Load) -> Launch:
        folder = self._folders.make(put.run)
        launch = self._backend.launch(put, folder)
        return replace(launch, argv=[*launch.argv, str(folder / _ASKED)])

    def _take(self, number: int) -> bool:
        """Note what a run has asked for; whether there is a new name among it."""
        known = len(self._entries)
        for asked in json_lines(self._folders.of(Run(number)) / _ASKED):
            if "name" not in asked:
                self._has_reports = True
                continue
            name, leaf, entry = asked["name"], asked["leaf"], asked["entry"]
            leaf = leaf if is_free(leaf) else f"{leaf}_"
            if self._names.setdefault(leaf, name) != name:
                both = f"{self._names[leaf]!r} and {name!r}"
                raise HpoError(f"{self._text}: {both} are both {leaf} in the space: rename one.")
            self._entries[leaf] = _joined(self._entries.get(leaf, entry), entry)
        return len(self._entries) > known

    def _broken(self) -> HpoError:
        text = self._failures[0].rstrip(".")
        return HpoError(
            f"{self._text}: fails in the runs that look for its space ({text}): correct it. The "
            f"logs of these runs are in {self._folders.path}."
        )

    def _end(self, done: int, seconds: float) -> None:
        runs = count_text(done, "run")
        if not self._entries and self._failures:
            raise self._broken()
        if not self._entries:
            raise HpoError(
                f"{self._text}: asked for no value in {runs}: write a space, or ask by "
                "trial.suggest_float."
            )
        self._say(f"Found {', '.join(self._entries)} in {runs} ({seconds:.1f} s).")
        if self._has_reports and self._experiment.training.train.epochs == 1:
            self._say(
                f"{self._text} reports while it runs, and train.epochs is 1, so its first report "
                "is its result: set train.epochs to the number of its reports."
            )
        shutil.rmtree(self._folders.path, ignore_errors=True)


def _joined(one: Entry, other: Entry) -> Entry:
    """The range that holds those of two calls; for calls that differ otherwise, the first one."""
    kind = next(iter(one))
    rest, others = ({k: v for k, v in e.items() if k != kind} for e in (one, other))
    if kind not in ("float", "int") or kind not in other or rest != others:
        return one
    (low, high), (lowest, highest) = one[kind], other[kind]
    return {**one, kind: [min(low, lowest), max(high, highest)]}


def _load(text: str, lanes: int) -> Load:
    # The executor of processes looks at the number of lanes alone.
    program: Any = text
    plan = Plan("map", lanes, "runs that find a space")
    return Load(program, Plans(plan), DataReference(None, ""))
