"""A trial as a spec of its own: complete, commented, ready for `hpo train`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from hpo import __version__
from hpo.data.files import key_of
from hpo.errors import HpoError
from hpo.registry import READERS, SCHEDULERS
from hpo.report.check import condition_text, distribution_text
from hpo.report.wording import (
    metric_text,
    no_such_trial_text,
    no_winner_text,
    number_text,
    runs_text,
)
from hpo.search.proposals.ahead import proposed_ahead
from hpo.search.results.pareto import pareto_front
from hpo.spec.code.own_code import CompiledCode, Own, code_sections
from hpo.spec.code.own_command import shell_line
from hpo.spec.code.own_data import OwnData, path_arguments
from hpo.spec.code.own_task import TaskTraining
from hpo.spec.experiment import Experiment, Training, folds_of
from hpo.spec.file.dump import dump_spec
from hpo.spec.fill import fill, filled
from hpo.spec.load import require_search
from hpo.spec.marks import Mark, has_leaf, leaf_at, marked_leaves
from hpo.spec.merging import NOTHING, Merged, Merging
from hpo.spec.roots import with_precision, with_static
from hpo.spec.sections.compression.section import Compression
from hpo.spec.sections.compression.teacher import teacher_of
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.models.pretrained import folder_of
from hpo.spec.sections.techniques.attack import Attack
from hpo.spec.sections.techniques.augment import Augment
from hpo.spec.sections.techniques.privacy import Privacy
from hpo.spec.sections.techniques.sampling import Sampling
from hpo.spec.words import count_text
from hpo.spec.zeros import varying_zeros
from hpo.study.log.events import MERGING, Event, StudyState, fold
from hpo.study.log.judging import Judging
from hpo.study.log.lineage import Lineage, Segment, changes
from hpo.study.log.notes import decided_numbers, decided_precision
from hpo.study.log.ranking import winner
from hpo.study.loop.varied import varied_for
from hpo.study.storage.stored import stored_experiment
from hpo.study.storage.tables import Storage, StudyRecord
from hpo.study.storage.trust import check_code, known_code, trained_code
from hpo.trial import HParams, Trial


@dataclass(frozen=True)
class Export:
    """A trial and its spec: as plain values, and as commented YAML.

    `experiment` is that of the study, `tried` the hparams that trained the trial's weights.
    """

    trial: Trial
    experiment: Experiment
    tried: tuple[HParams, ...]
    document: Mapping[str, Any]
    text: str


def export_trial(
    storage: Storage,
    study: str,
    number: int | None,
    target: Path | None,
    today: date,
    *,
    trusts_code: bool = False,
) -> Export:
    """The spec of a trial, or of the best one, as written to the file `target`.

    Raises:
        HpoError: for a study or trial that is not there, or one without a winner yet.
    """
    record = storage.study(study)
    experiment, state, events = _read(storage, record, trusts_code=trusts_code)
    search, epochs = require_search(experiment), experiment.training.train.epochs
    if number is None:
        trial = winner(state.trials)
        if trial is None:
            raise HpoError(no_winner_text(study, state, search.trials, epochs))
    elif number in state.metrics:
        trial = state.trial(number)
    else:
        raise HpoError(no_such_trial_text(study, state, number))
    if not trusts_code:
        _check_code_of(record, experiment, state, events, trial)
    return _export(storage, experiment, state, trial, target, today)


def export_front(
    storage: Storage, study: str, folder: Path, today: date, *, trusts_code: bool = False
) -> tuple[tuple[Path, Export], ...]:
    """The specs of all trials on the Pareto front, each with its file in `folder`.

    Raises:
        HpoError: for a study that is not there, has one objective, or no trial on a front yet.
    """
    record = storage.study(study)
    experiment, state, events = _read(storage, record, trusts_code=trusts_code)
    search = require_search(experiment)
    if len(search.goal.objectives) == 1:
        raise HpoError(f"study '{study}' has one objective, and so one best trial: use --out FILE.")
    front = pareto_front(state.trials)
    if not front:
        epochs = experiment.training.train.epochs
        raise HpoError(no_winner_text(study, state, search.trials, epochs))
    for trial in () if trusts_code else front:
        _check_code_of(record, experiment, state, events, trial)
    files = [(trial, folder / f"trial-{trial.number:d}.yaml") for trial in front]
    return tuple(
        (file, _export(storage, experiment, state, trial, file, today)) for trial, file in files
    )


def _read(
    storage: Storage, record: StudyRecord, *, trusts_code: bool
) -> tuple[Experiment, StudyState, Sequence[Event]]:
    """A study's experiment, with its own code as it was decided to run, its state and its log."""
    experiment, events = stored_experiment(record, storage.where), storage.events(record.id)
    goal = require_search(experiment).goal
    judging = Judging.of(experiment.training.train, goal.first)
    state = fold(events, goal, record.where, judging)
    known = known_code(record, (start.what for start in state.starts))
    check_code(record.name, known, experiment.training, is_trusted=trusts_code)
    numbers = decided_numbers(state.notes)
    experiment = with_static(experiment, numbers.static if numbers else ())
    if precision := decided_precision(state.notes):
        experiment = with_precision(experiment, precision.name)
    return experiment, state, events


def _check_code_of(
    record: StudyRecord,
    experiment: Experiment,
    state: StudyState,
    events: Sequence[Event],
    trial: Trial,
) -> None:
    """Refuse a trial that trained with another version of the code than the present one."""
    trials = {segment.trial for segment in state.lineage(trial.number)}
    for known in trained_code(record, events, trials):
        check_code(record.name, known, experiment.training, is_trusted=False, trial=trial.number)


def _export(
    storage: Storage,
    experiment: Experiment,
    state: StudyState,
    trial: Trial,
    target: Path | None,
    today: date,
) -> Export:
    folder = Path.cwd() if target is None else target.parent
    pin = state.pins.get(MERGING)
    merging = NOTHING if pin is None else Merging.from_pin(pin)
    lineage, together = state.lineage(trial.number), state.together.get(trial.number, 0)
    drawn = state.drawn.get(trial.number, {})
    if (precision := state.drawn.get(lineage[0].trial, {}).get("train.precision")) is not None:
        experiment = with_precision(experiment, str(precision))
    varying = varied_for(state, lineage[0].trial, experiment)
    document = training_document(experiment, lineage, merging, folder, together, varying)
    if trial.is_full:
        _fix_epochs(document["train"], state.judged_epoch(trial.number))
    if "command" in document:
        document["command"]["values"] |= drawn
    header = [
        f"Trial {trial.number} of the study {experiment.name}: "
        f"{_result(experiment, state, trial)}{_others(state, trial)}.",
        f"Exported on {today} by hpo {__version__} from {storage.where}.",
        *_ancestry(lineage),
        "",
        _usage(experiment, trial.hparams, target),
    ]
    text = dump_spec(document, _comments(experiment, trial.hparams), "\n".join(header))
    tried = tuple(segment.hparams for segment in lineage)
    return Export(trial, experiment, tried, document, text)


def export_ahead(experiment: Experiment, number: int, today: date) -> tuple[HParams, str]:
    """The hparams of a trial of a new study, and its spec, before anything has run.

    Raises:
        HpoError: where results decide them, or the study has no such trial.
    """
    hparams = proposed_ahead(experiment, number)
    document = training_document(experiment, (Segment(number, 0, hparams),), NOTHING, Path.cwd())
    search = require_search(experiment)
    header = [f"Trial {number} of the study {experiment.name}, as it will start."]
    if SCHEDULERS[search.scheduler.name].changes_hparams:
        header.append(f"{search.scheduler.name} changes its numbers while it trains.")
    header.append(f"Written on {today} by hpo {__version__}.")
    comments = _comments(experiment, hparams)
    return hparams, dump_spec(document, comments, "\n".join(header))


def training_document(
    experiment: Experiment,
    lineage: Lineage,
    merging: Merging,
    folder: Path,
    together: int = 0,
    varying: Set[str] = frozenset(),
) -> dict[str, Any]:
    """The training spec of a trial with this lineage, with nothing left to search.

    It is the spec of the first trial of the lineage, whose random stream the weights kept, with the
    numbers that changed later.

    Every default is written out, so that the spec trains the same under a later version with other
    defaults. The keys of the experiment's document come first. Relative data paths are rewritten so
    that they are found from `folder`. The document also fixes the study's program to the bit: what
    it merged, which zeros of the `varying` paths it kept, and how many lanes trained together.
    """
    if isinstance(experiment.training, TaskTraining):
        return _task_document(experiment, lineage, folder, together)
    if experiment.are_processes:
        return _command_document(experiment, lineage[-1].hparams, folder)
    fields, document = type(experiment.training).model_fields, experiment.document
    written = {key: document[key] for key in document if key in fields}
    first = lineage[0]
    training = merging.of(fill(experiment.training, first.hparams, first.trial))
    dumped = _said(training)
    if training.train.judged_by == "mean":
        del dumped["train"]["judged_by"]
    if isinstance(training.train.merged, Merged):
        merged = training.train.merged.model_dump(mode="json", exclude_defaults=True)
        dumped["train"]["merged"] = merged
    dumped["train"]["varying"] = list(varying_zeros(training, varying))
    if together:
        dumped["train"] |= {"form": "vmap", "lanes": together}
    values = _in_order_of(filled(written, first.hparams, type(training)), dumped)
    values["train"]["changes"] = [
        {"after": after, "hparams": hparams} for after, hparams in changes(lineage)
    ]
    values["data"] = _moved(training.data, values["data"], experiment.folder, folder)
    _move_models(values, training, experiment.folder, folder)
    for path, section in code_sections(training):
        if isinstance(section, CompiledCode):
            *outer, name = path.split(".")
            holder = reduce(getitem, outer, values)
            holder[name] = _moved_code(section.own, holder[name], experiment.folder, folder)
    values["train"]["metrics"] = [
        _moved_code(training.own_metrics[text], {"python": text}, experiment.folder, folder)
        if text in training.own_metrics
        else text
        for text in training.train.metrics
    ]
    return {"name": experiment.name, **values}


# Sections that a spec need not say while they are off.
_OFF = {
    "attack": Attack(),
    "augment": Augment(),
    "compression": Compression(),
    "privacy": Privacy(),
    "sampling": Sampling(),
}


def _said(training: Training) -> dict[str, Any]:
    """A training with every default, but for keys that say nothing or what another one says."""
    dumped = training.model_dump(mode="json")
    for path, mark, _ in marked_leaves(training):
        if mark is Mark.SHORTHAND:  # the field that it stands for is there
            section, field = path.split(".")
            del dumped[section][field]
    if training.loss is None:
        del dumped["loss"]
    for name, off in _OFF.items():
        if getattr(training, name) == off:
            del dumped[name]
    # A schedule changes nothing where the trial lacks its number, or where that is off.
    for path, schedule in training.train.schedules.items():
        number = leaf_at(training, path) if has_leaf(training, path) else None
        if number is None or (number == 0 and not hasattr(schedule, "to")):
            del dumped["train"]["schedules"][path]
    for name in ("until", "early_stop", "schedules"):
        if not dumped["train"][name]:
            del dumped["train"][name]
    for section, name in (("model", "from"), ("updates", "freeze"), ("updates", "rates")):
        if not dumped[section].get(name):
            dumped[section].pop(name, None)
    return dumped


def _fix_epochs(train: dict[str, Any], epoch: int) -> None:
    """Say up to which epoch a trial's weights trained, in place of the rules that found it."""
    train.pop("early_stop", None)
    train |= {"keep": "last"} if "keep" in train else {}
    if epoch < train["epochs"]:
        train["until"] = epoch


def _move_models(values: Any, training: Any, start: Path, folder: Path) -> None:
    """Let the folders of trained models in a document be found from `folder`."""
    if isinstance(name := folder_of(getattr(training, "model", None)), str):
        values["model"]["from"] = _moved_path(name, start, folder)
    if (name := teacher_of(training)) is not None:
        values["compression"]["teacher"]["from"] = _moved_path(name, start, folder)


def _task_document(
    experiment: Experiment, lineage: Lineage, folder: Path, together: int
) -> dict[str, Any]:
    """The spec of a trial of an own task; its code and its data are found from `folder`."""
    fields, document = type(experiment.training).model_fields, experiment.document
    written = {key: document[key] for key in document if key in fields}
    first = lineage[0]
    training: Any = fill(experiment.training, first.hparams, first.trial)
    dumped = training.model_dump(mode="json")
    if together:
        dumped["train"] |= {"form": "vmap", "lanes": together}
    values = _in_order_of(filled(written, first.hparams, type(training)), dumped)
    values["train"]["changes"] = [
        {"after": after, "hparams": hparams} for after, hparams in changes(lineage)
    ]
    values["task"] = _moved_code(training.task.own, values["task"], experiment.folder, folder)
    if "data" in values:
        values["data"] = _moved(training.data, values["data"], experiment.folder, folder)
    _move_models(values, training, experiment.folder, folder)
    return {"name": experiment.name, **values}


def _command_document(experiment: Experiment, hparams: HParams, folder: Path) -> dict[str, Any]:
    """The spec of a command with the values of a trial, the command found from `folder`."""
    training: Any = fill(experiment.training, hparams, 0)
    dumped = {key: training.model_dump(mode="json")[key] for key in ("command", "train")}
    written = {key: experiment.document.get(key, {}) for key in dumped}
    values = _in_order_of(written, dumped)
    place = _moved_path(values["command"]["folder"], experiment.folder, folder)
    values["command"] |= {"folder": place, "values": training.values}
    del values["command"]["run" if training.command.python is not None else "python"]
    return {"name": experiment.name, **values}


def file_of(document: Mapping[str, Any]) -> str | None:
    """The file or folder from which a spec reads its data; None for a data set by name."""
    dataset = document.get("data", {}).get("dataset")
    known = dataset if isinstance(dataset, Mapping) else {}
    return next((str(known[key]) for key in READERS if key in known), None)


def _in_order_of(written: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values: first the keys of `written` in its order, then the others."""
    known = written if isinstance(written, Mapping) else {}
    order = [*(key for key in known if key in values), *(key for key in values if key not in known)]
    return {
        key: _in_order_of(known.get(key), values[key])
        if isinstance(values[key], Mapping)
        else values[key]
        for key in order
    }


def _moved(spec: DataSpec, data: Mapping[str, Any], old: Path, new: Path) -> Mapping[str, Any]:
    unsaid = {"folds"} if spec.folds is None else {"validation"}
    unsaid |= {key for key in ("split", "target_range", "extra") if getattr(spec, key) is None}
    data = {key: value for key, value in data.items() if key not in unsaid}
    files = {key: _moved_path(file, old, new) for key, file in spec.text.files.items()}
    if files:
        data["text"] = {**data["text"], **files}
    if spec.extra is not None:
        data["extra"] = _moved_path(spec.extra, old, new)
    if spec.corrupt.file is not None:
        data["corrupt"] = {**data["corrupt"], "from": _moved_path(spec.corrupt.file, old, new)}
    dataset = data.get("dataset")
    if not isinstance(dataset, Mapping):
        return data
    keys: tuple[str, ...] = (key_of(spec.dataset), "validation", "test")
    if isinstance(spec.dataset, OwnData):
        keys = tuple(name for name, _ in path_arguments(spec.dataset, old))
        dataset = _moved_code(spec.dataset.own, dataset, old, new)
    paths = {
        key: _moved_path(dataset[key], old, new)
        for key in keys
        if isinstance(dataset.get(key), str)
    }
    return {**data, "dataset": {**dataset, **paths}}


def _moved_code(own: Own, section: Mapping[str, Any], old: Path, new: Path) -> Mapping[str, Any]:
    """A section that names own code as it is found from a folder, with the hash of its file."""
    code, python = own.code, section["python"]
    if code is not None and not code.module:
        file, colon, name = python.rpartition(":")
        python = f"{_moved_path(file, old, new)}{colon}{name}"
    left_out = {key for key in ("static", "knobs") if not section.get(key)}
    kept = {key: value for key, value in section.items() if key not in left_out}
    return {**kept, "python": python, "sha256": "" if code is None else code.sha256}


def _moved_path(written: str, old: Path, new: Path) -> str:
    path = old / Path(written).expanduser()
    # A path that is not there is looked up below HPO_DATA, which does not depend on the folder.
    if Path(written).expanduser().is_absolute() or not path.exists():
        return written
    relative = Path(os.path.relpath(path, new))
    return str(path.resolve() if ".." in relative.parts else relative)


def _usage(experiment: Experiment, hparams: HParams, target: Path | None) -> str:
    """How to use an exported spec, as a comment in it."""
    if experiment.are_processes:
        training: Any = fill(experiment.training, hparams, 0)
        place = experiment.folder.resolve() / training.command.folder
        return f"Run it:  cd {shlex.quote(str(place))} && {shell_line(training)}"
    return f"Train it in full:  hpo train {target.name if target else 'THIS_FILE'} -o model/"


def _ancestry(lineage: Lineage) -> list[str]:
    if len(lineage) == 1:
        return []
    steps = ", ".join(f"trial {s.trial} from epoch {s.after + 1}" for s in lineage)
    return [f"Its weights were trained by {steps}."]


def _comments(experiment: Experiment, hparams: HParams) -> dict[str, str]:
    start = "command.values." if experiment.are_processes else ""
    return {
        f"{start}{dimension.path}": f"from {distribution_text(dimension.distribution)}"
        + condition_text(dimension.when)
        for dimension in experiment.space.dimensions
        if dimension.path in hparams
    } | {leaf.path: f"is {leaf.text}" for leaf in experiment.space.derived if leaf.path in hparams}


def _result(experiment: Experiment, state: StudyState, trial: Trial) -> str:
    objective = require_search(experiment).goal.first
    epochs = count_text(experiment.training.train.epochs, "epoch")
    if not trial.losses:
        return f"{trial.state}, without a result yet"
    runs = runs_text(experiment.training.train.seeds, folds_of(experiment.training))
    judged_by = getattr(experiment.training.train, "judged_by", "mean")
    mean = runs and f", the {judged_by} of {runs}"
    value = number_text(objective.loss(trial.losses[-1]) + 0.0)
    judged = state.judged_epoch(trial.number)
    if judged == experiment.training.train.epochs:
        return f"validation {objective.metric} {value} after {epochs}{mean}"
    reached = f"{judged} of {epochs}{mean}"
    if trial.is_full:
        return f"validation {objective.metric} {value} after {reached}"
    return f"{trial.state}, validation {objective.metric} {value} after {reached}"


def _others(state: StudyState, trial: Trial) -> str:
    """The results of the goal's other metrics, and whether the trial breaks the constraints."""
    results = state.results(trial.number)
    texts = [
        f", {name} {metric_text(name, results[name])}"
        for name in state.goal.metrics[1:]
        if name in results
    ]
    return "".join(texts) + ("; it breaks the constraints" if trial.violation > 0 else "")


def write_new(path: Path, text: str, *, replace: bool) -> None:
    """Write a new file; replace an existing one only on demand.

    Raises:
        HpoError: for one that is in the way, or a folder that cannot be written.
    """
    if path.exists() and not replace:
        raise HpoError(f"-o {path}: exists: give another name, or --force to replace it.")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HpoError(f"-o {path}: cannot be written ({error.strerror}): give another.") from error


def write_front(folder: Path, exports: Sequence[tuple[Path, Export]], *, replace: bool) -> None:
    """Write every spec of a front into a folder, which is created if needed.

    Raises:
        HpoError: for a file that is in the way, or a folder that cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise HpoError(f"--front {folder}: cannot be made ({why.strerror}): give another.") from why
    if (taken := [file for file, _ in exports if file.exists()]) and not replace:
        raise HpoError(f"--front {folder}: {taken[0].name} exists: give another, or --force.")
    for file, export in exports:
        write_new(file, export.text, replace=True)
