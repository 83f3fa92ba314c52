"""Runs a command for each trial, as many at once as there are slots."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hpo.engine.programs.plans import Plan, Plans
from hpo.errors import HpoError
from hpo.spec.code.own_command import CommandTraining
from hpo.spec.experiment import Experiment
from hpo.spec.fill import fill
from hpo.spec.load import require_search
from hpo.spec.sections.command import NAMED, CommandSpec, Gpus, filled_words, placed
from hpo.spec.sections.goal import COSTS
from hpo.spec.words import count_text
from hpo.study.backends.backend import Crew
from hpo.study.backends.trial_folders import CHECKPOINT, REPORTED, TrialFolders
from hpo.study.backends.typed_commands import check_typed
from hpo.study.executors.messages import DataReference, Load, Put
from hpo.study.executors.processes import Launch, ProcessExecutor
from hpo.study.executors.seat import Settings
from hpo.study.log.events import Pin
from hpo.study.loop.work import Work
from hpo.study.storage.journal import Journal
from hpo.study.storage.provenance import Provenance, library_versions
from hpo.study.storage.trust import code_of
from hpo.study.surroundings import Surroundings
from hpo.trial import HParams, Run

_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class CommandProgram:
    """What the lanes of a command's only pool have in common: the command as it is written."""

    text: str
    label: str = "command"

    def __str__(self) -> str:
        return self.text


class CommandBackend:
    """Runs one command; each of its slots is a lane of one pool."""

    def __init__(
        self, experiment: Experiment, around: Surroundings, say: Callable[[str], None]
    ) -> None:
        self._experiment, self._search = experiment, require_search(experiment)
        check_typed(experiment, around)
        training: Any = experiment.training
        self._command: CommandSpec = training.command
        self._folder = (experiment.folder / self._command.folder).resolve()
        self._say = say
        self._gpus = visible_gpus(os.environ)
        self.slots = slots_of(self._command, len(self._gpus))
        self.folders = TrialFolders.beside(around.storage, experiment.name)
        _check_program(self._command, self._folder)
        code = self._command.own and self._command.own.code
        say(f"Runs {code or self._command.text} in {self._folder}.")
        device = f"{platform.node()}: {count_text(self.slots, 'slot')}"
        self.provenance = Provenance(library_versions(), device, "", code_of(training))

    def start(
        self, journal: Journal, explain: Callable[[str], None], stack: ExitStack, *, learns: bool
    ) -> Crew:
        """Start the supervisor of the commands."""
        self.folders.sweep(len(journal.state))
        program = CommandProgram(self._command.text)
        plan = Plan("map", self.slots, "as many commands at once as command.slots says")
        pin = journal.state.pins.get(program.label)
        if pin is not None and pin["lanes"] != plan.lanes:
            journal.record(Pin(program.label, {**plan.pin(), "program": str(program)}))
        explain(f"{count_text(self.slots, 'trial')} run at once (command.slots).")

        def launched(put: Put, load: Load) -> Launch:
            return self.launch(put, self.folders.make(put.run))

        executor = ProcessExecutor(self.settings(), launched, self._say)
        stack.callback(executor.close)
        return Crew(executor, self._preparer(program), Plans(plan), _nothing, _nothing)

    def baselines(self, journal: Journal, spent_seconds: float) -> None:
        """None: only its author knows what would be one."""

    def settings(self) -> Settings:
        """What all trials have in common."""
        command = self._command
        return Settings(
            folder=str(self.folders.path),
            metrics=[name for name in self._search.goal.metrics if name not in COSTS],
            grace=command.grace,
            log_limit=command.log_limit,
            pattern=command.results.pattern,
            time_limit=command.time_limit,
            memory_limit=command.memory_limit,
        )

    def _preparer(self, program: CommandProgram) -> Callable[[HParams, int], Work]:
        # The driver asks of a program its label alone, and passes training and data on.
        any_program: Any = program
        any_spec: Any = self._command
        data, knobs = DataReference(any_spec, ""), np.zeros(0, np.float32)

        def prepare(hparams: HParams, number: int) -> Work:
            training = fill(self._experiment.training, hparams, number)
            return Work(training, any_program, knobs, data)

        return prepare

    def launch(self, put: Put, folder: Path) -> Launch:
        """How the command of a trial is started, whose own `folder` exists."""
        training: Any = put.training
        return launch_of(
            training,
            put.run.key,
            folder,
            self._folder,
            self._search.goal.first.metric,
            self._devices(put.lane),
        )

    def _devices(self, lane: int) -> Mapping[str, str]:
        """The environment variable that gives a lane its GPUs."""
        slots = self._command.slots
        if not isinstance(slots, Gpus):
            return {}
        if slots.gpu < 1:
            return {"CUDA_VISIBLE_DEVICES": self._gpus[lane % len(self._gpus)]}
        each = int(slots.gpu)
        return {"CUDA_VISIBLE_DEVICES": ",".join(self._gpus[lane * each : (lane + 1) * each])}


def launch_of(
    training: CommandTraining,
    run: str,
    folder: Path,
    cwd: Path,
    metric: str,
    devices: Mapping[str, str],
) -> Launch:
    """How the command of a trial is started, whose own `folder` exists; writes its config file."""
    command, values, train = training.command, training.values, training.train
    config, checkpoint = folder / f"config.{command.config}", folder / CHECKPOINT
    given = {name: value for name, value in values.items() if value is not None}
    config.write_text(json.dumps(given) if command.config == "json" else yaml.safe_dump(given))
    reported = folder / REPORTED
    files = [reported]
    if command.results.file is not None:
        files.append(folder / command.results.file)
    own: dict[str, Any] = {
        "config": str(config),
        "trial": train.stream,
        "seed": train.seed,
        "epochs": train.epochs,
        "folder": str(folder),
        "checkpoints": str(checkpoint),
    }
    known = {**own, **values}
    argv = list(filled_words(command.words, known))
    env = {name: text for name, word in command.env.items() if (text := placed(word, known))}
    own_env = {
        "HPO_TRIAL": str(train.stream),
        "HPO_SEED": str(train.seed),
        "HPO_STUDY_SEED": str((train.seed - Run.parse(run).seed) % 2**32),
        "HPO_EPOCHS": str(train.epochs),
        "HPO_FOLDER": str(folder),
        "HPO_CHECKPOINT_DIR": str(checkpoint),
        "HPO_CONFIG": str(config),
        "HPO_RESULTS": str(reported),
        "HPO_METRIC": metric,
        "PYTHONUNBUFFERED": "1",
    }
    return Launch(
        argv=argv,
        env={**own_env, **devices, **env},
        cwd=str(cwd),
        folder=str(folder),
        checkpoint=str(checkpoint),
        files=list(map(str, files)),
        epochs=train.epochs,
        shown=shlex.join(argv),
        stays=argv[:-1] if command.stay else (),
    )


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that this process may use, as CUDA names them."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in re.split(",", named) if name.strip() not in ("", "-1")]
    return [str(n) for n, _ in enumerate(_GPUS.iterdir())] if _GPUS.is_dir() else []


def slots_of(command: CommandSpec, gpus: int) -> int:
    """How many trials run at once on a machine with `gpus` GPUs.

    Raises:
        HpoError: where it has fewer GPUs than one trial asks for.
    """
    if not isinstance(command.slots, Gpus):
        return command.slots
    asked = command.slots.gpu
    slots = gpus * math.floor(1 / asked + 1e-9) if asked < 1 else gpus // int(asked)
    if slots == 0:
        have = "no GPU" if gpus == 0 else count_text(gpus, "GPU")
        raise HpoError(
            f"command.slots: a trial asks for {asked:g} GPU and this machine shows {have} (see"
            " CUDA_VISIBLE_DEVICES): write slots: 1."
        )
    return slots


def _check_program(command: CommandSpec, folder: Path) -> None:
    """Refuse a command whose program is not there, before the first trial."""
    program = command.words[0]
    if NAMED.search(program):
        return
    where = folder / program if "/" in program else program
    if shutil.which(where) is not None:
        return
    if "/" in program and Path(where).is_file():
        raise HpoError(f"command.run: {where} may not be executed: run chmod +x on it.")
    place = "" if "/" in program else ", also not in PATH"
    hint = f" Python is {sys.executable}." if program.startswith("python") else ""
    raise HpoError(f"command.run: there is no program {program} in {folder}{place}.{hint}")


def _nothing() -> None:
    """Do nothing: a command has no plans to explain and no costs to learn."""
