"""A spec file, or a study's stored document, to an experiment; or to all its mistakes at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from hpo.errors import HpoError, SpecError, cut
from hpo.registry import DATASETS, LOSSES, METRICS, SAMPLERS, SCHEDULERS
from hpo.space import SearchSpace
from hpo.spec.changes import change_mistakes, population_mistakes, schedule_mistakes
from hpo.spec.code.own_code import OwnCode
from hpo.spec.code.own_command import (
    CommandTraining,
    command_mistakes,
    command_search_mistakes,
)
from hpo.spec.code.own_task import TaskTraining, task_search_mistakes
from hpo.spec.cohorts import cohort_mistakes
from hpo.spec.experiment import Experiment, Training
from hpo.spec.file.document import Document, KeyPath, Mistake, Place, parse_yaml
from hpo.spec.file.include import merge_includes, packaged_folder, read_text
from hpo.spec.fill import filled
from hpo.spec.marks import Spec, leaf_at, with_leaves
from hpo.spec.overrides import apply_overrides
from hpo.spec.roots import (
    Root,
    as_command,
    code_mistakes,
    file_of,
    root_of,
    train_of,
    with_dataset,
)
from hpo.spec.schema import spec_mistakes, variants_of
from hpo.spec.sections.data import DataSpec, Task, tasks_of
from hpo.spec.sections.goal import COSTS, is_own, known_metrics
from hpo.spec.sections.scheduler import anew_mistakes, budget_mistakes, budget_of
from hpo.spec.sections.search import SearchSpec, keeping_mistakes, missing_package
from hpo.spec.sections.train import TrainSpec, stop_mistakes
from hpo.spec.space.dimensions import build_space, joint_mistakes, need_mistakes
from hpo.spec.space.entries import Entry, Formula, read_entry
from hpo.spec.space.rules import ruled_space
from hpo.spec.space.start import start_mistakes
from hpo.spec.techniques.clashes import lacking
from hpo.spec.words import unknown_name
from hpo.spec.zeros import varying_mistakes
from hpo.techniques import Fact

S = TypeVar("S", bound=Spec)

# Far more entries or rules than a space has leaves; each is checked with others.
_MOST_ENTRIES = 1000


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of a spec file, with `path=value` overrides applied.

    `configs/NAME.yaml` is the one that comes with hpo where the working folder has none.

    Raises:
        SpecError: with every mistake of the file, its includes and the overrides, a line each.
    """
    path = _found(path)
    return _written(parse_yaml(read_text(path), str(path)), path.parent, overrides)


def load_document(
    values: Mapping[str, Any], folder: Path, overrides: Sequence[str] = ()
) -> Experiment:
    """The experiment of a spec that is written as plain values, like a spec file in `folder`.

    Raises:
        SpecError: with every mistake of the document, its includes and the overrides, a line each.
    """
    return _written(Document(copy.deepcopy(dict(values)), {(): Place("")}), folder, overrides)


def read_document(
    path: Path, overrides: Sequence[str] = ()
) -> tuple[Document, frozenset[str], list[str]]:
    """The document of a spec file with includes merged and overrides applied, not yet validated.

    With it come the paths that included spaces gave, and what is wrong with the overrides.

    Raises:
        SpecError: for a file or an include that cannot be read.
    """
    path = _found(path)
    return _resolved(parse_yaml(read_text(path), str(path)), path.parent, overrides)


def _found(path: Path) -> Path:
    packaged = packaged_folder("configs") / path.name
    is_packaged = path.parent == Path("configs") and not path.exists() and packaged.is_file()
    return packaged if is_packaged else path


def experiment_from_document(
    document: Mapping[str, Any], folder: Path, where: str = "", overrides: Sequence[str] = ()
) -> Experiment:
    """The experiment of a document that a study keeps, with `path=value` overrides applied.

    `where` names it in messages.

    Raises:
        SpecError: with every mistake of the document, a line each.
    """
    values = copy.deepcopy(dict(document))
    merged, _, lines = _resolved(Document(values, {(): Place(where)}), folder, overrides)
    space = merged.values.get("space")
    # Which entries were included is not kept, so all are read as leniently as included ones.
    included = frozenset(space) if isinstance(space, Mapping) else frozenset()
    return _experiment(merged, root_of(merged.values, folder), folder, included, lines)


def require_search(experiment: Experiment) -> SearchSpec:
    """The search section of an experiment that is to be searched.

    Raises:
        SpecError: for a spec without a search, or in whose space nothing varies.
    """
    if experiment.search is None:
        cure = "add search: {objective: {maximize: accuracy}, trials: 100}"
        raise SpecError([f"{experiment.name}: has no search section: {cure}"])
    if not len(experiment.space) and not finds_space(experiment):
        cure = "add space: {model.dropout: {float: [0.0, 0.5]}}, or use hpo train"
        raise SpecError([f"{experiment.name}: nothing varies: {cure}"])
    return experiment.search


def finds_space(experiment: Experiment) -> bool:
    """Whether a search has to find the space first, by running an objective that asks for it."""
    training = experiment.training
    is_known = experiment.document.get("space") or experiment.is_stored
    return not is_known and isinstance(training, CommandTraining) and training.asks


def require_single(experiment: Experiment) -> Experiment:
    """An experiment that is to be trained as it is, with the constants of its space filled in.

    Raises:
        HpoError: for a spec in which something varies.
    """
    space = experiment.space
    if not len(space):
        return experiment
    if space.size > 1:
        paths = ", ".join(d.path for d in space.dimensions if d.distribution.size > 1)
        cure = "remove space, or use hpo search and then hpo export"
        raise HpoError(f"{experiment.name}: {cut(paths, 100)} may vary: {cure}")
    constants = space.completed(space.at([0.0] * len(space)))
    document = filled(experiment.document, constants, type(experiment.training))
    del document["space"]
    return experiment_from_document(document, experiment.folder)


def _written(document: Document, folder: Path, overrides: Sequence[str]) -> Experiment:
    """The experiment of a document as a user wrote it."""
    document, included, lines = _resolved(document, folder, overrides)
    # Not asked of a stored document: `hpo show` reads a study wherever it was searched.
    lines += document.lines(_install_mistakes(document.values))
    root = root_of(document.values, folder)
    lines += document.lines(code_mistakes(document.values, root))
    return _experiment(document, root, folder, included, lines)


def _resolved(
    document: Document, folder: Path, overrides: Sequence[str]
) -> tuple[Document, frozenset[str], list[str]]:
    """The document with includes merged and overrides applied: included paths, mistakes."""
    if not isinstance(document.values, Mapping):
        return document, frozenset(), []
    document = as_command(with_dataset(document))
    # An override may name the spaces to include, and another change what they give.
    includes = [text for text in overrides if text.startswith("space.include=")]
    others = [text for text in overrides if text not in includes]
    document, wrong_includes = apply_overrides(document, includes, folder)
    document, included = merge_includes(document, folder)
    document, wrong = apply_overrides(document, others, folder)
    # An override may have given a data set of the user's own in short, too.
    return with_dataset(document), included, [*wrong_includes, *wrong]


def _experiment(
    document: Document, root: Root, folder: Path, included: frozenset[str], lines: list[str]
) -> Experiment:
    values = document.values
    mistakes = [*document.mistakes, *spec_mistakes(file_of(root), values)]
    space = SearchSpace()
    if isinstance(values, Mapping):
        if isinstance(values.get("space", {}), Mapping):
            space, wrong = _space(values, included, mistakes, root)
            mistakes += wrong
        mistakes += _cross_mistakes(values, space, root)
        if not mistakes and values.get("search"):
            mistakes += start_mistakes(space, values, values["search"].get("start", ()), root)
    if mistakes or lines:
        raise SpecError([*document.lines(mistakes), *lines])
    spec = file_of(root).model_validate(values)
    training: Any = root.model_validate({name: getattr(spec, name) for name in root.model_fields})
    if isinstance(training, Training):
        training = _with_metrics(training, spec.search)
    return Experiment(
        name=spec.name,
        training=training,
        space=space,
        search=spec.search,
        study=spec.study,
        document=values,
        folder=folder,
    )


def _with_metrics(training: Training, search: SearchSpec | None) -> Training:
    """A training that reports each metric that its search names."""
    asked = search.goal.codes if search else ()
    further = [name for name, metric in METRICS.items() if metric.is_named]
    threshold = training.train.threshold
    asked = asked if threshold is None else (*asked, threshold)
    scored = [name for name in asked if is_own(name) or name in further]
    metrics = tuple(sorted({*training.train.metrics, *scored}))
    return with_leaves(training, {"train.metrics": metrics})


def _space(
    values: Mapping[str, Any],
    included: frozenset[str],
    mistakes: Sequence[Mistake],
    root: Root,
) -> tuple[SearchSpace, list[Mistake]]:
    found: list[Mistake] = []
    entries: list[Entry] = []
    formulas: list[Formula] = []
    section = dict(values.get("space", {}))
    forbid = section.pop("forbid", [])
    for what, there in (("entries", section), ("rules under forbid", forbid)):
        if isinstance(there, (Mapping, list)) and len(there) > _MOST_ENTRIES:
            text = f"has {len(there):,} {what}: write at most {_MOST_ENTRIES:,}"
            return SearchSpace(), [Mistake(("space",), text)]
    for path, written in section.items():
        entry, wrong = read_entry(path, written)
        found += wrong
        entries += [entry] if isinstance(entry, Entry) else []
        formulas += [entry] if isinstance(entry, Formula) else []
    for entry in entries:
        if entry.when is not None and entry.when[0] in {formula.path for formula in formulas}:
            at = ("space", entry.path, "when", entry.when[0])
            found.append(Mistake(at, "is derived: name a leaf that it is derived from instead"))
    # A section with mistakes of its own would only repeat them for each of its dimensions.
    broken = {mistake.path[0] for mistake in mistakes if mistake.path}
    sound = {
        name: values[name] for name in root.model_fields if name in values and name not in broken
    }
    space, wrong = build_space(entries, sound, root, included)
    found += wrong
    needed = {name for name, field in root.model_fields.items() if field.is_required()}
    is_sound = needed <= sound.keys() and broken.isdisjoint(root.model_fields)
    if not found and is_sound:
        around = _around(_read(SearchSpec, values.get("search")))
        found += joint_mistakes(space, sound, root, around)
    if not found and is_sound:
        space, found = ruled_space(space, formulas, forbid, sound, root)
    return space, found


def _around(search: SearchSpec | None) -> frozenset[Fact]:
    """What a search does around its trainings that techniques may exclude."""
    copies = search is not None and SCHEDULERS[search.scheduler.name].changes_hparams
    budget = budget_of(search.scheduler if search else None)
    held: dict[Fact, bool] = {
        "populations": copies,
        "shares": budget == "share",
        "sizes": budget == "size",
    }
    return frozenset(fact for fact, is_so in held.items() if is_so)


def _cross_mistakes(values: Mapping[str, Any], space: SearchSpace, root: Root) -> list[Mistake]:
    """What is wrong between the parts of a spec; parts with mistakes of their own are left out."""
    found: list[Mistake] = []
    data = _read(DataSpec, values.get("data"))
    train: Any = _read(train_of(root), values.get("train"))
    search = _read(SearchSpec, values.get("search"))
    section = values.get("data")
    dataset = section.get("dataset") if isinstance(section, Mapping) else None
    if isinstance(dataset, str) and dataset not in DATASETS:
        text = f"{unknown_name(dataset, DATASETS)} Or write {{csv: ..., target: ...}}."
        found.append(Mistake(("data", "dataset"), text))
    training = _read(root, {k: v for k, v in values.items() if k in root.model_fields})
    if isinstance(training, Training):
        found += [*change_mistakes(values, training), *varying_mistakes(values, training)]
        found += schedule_mistakes(values, training, space)
    elif isinstance(training, TaskTraining):
        found += [*change_mistakes(values, training)]
        if data is not None and data.folds is not None:
            text = "is for models: a task of your own evaluates all rows at once. Remove it"
            found.append(Mistake(("data", "folds"), text))
    if training is not None:
        found += need_mistakes(training, _around(search), space)
    if isinstance(training, CommandTraining):
        found += command_mistakes(training, space)
    if isinstance(training, Training):
        found += _unread_mistakes(training, search, space)
    if isinstance(train, TrainSpec) and data is not None:
        found += _scored_mistakes(train, tasks_of(data))
    if isinstance(train, TrainSpec):
        found += stop_mistakes(train, search.scheduler.name if search else None)
    if search is None:
        return found
    if train is not None:
        folds = None if data is None else data.folds
        found += population_mistakes(search, train, space, root, folds)
    found += cohort_mistakes(search)
    found += keeping_mistakes(search, _rule_of(train, space))
    if training is not None and not isinstance(training, Training):
        found += anew_mistakes(search.scheduler)
    if data is not None and budget_of(search.scheduler) == "size":
        found += _size_mistakes(data)
    if issubclass(root, CommandTraining):
        found += command_search_mistakes(search)
    if issubclass(root, TaskTraining):
        found += task_search_mistakes(search, root)
    if issubclass(root, Training):
        found += _metric_mistakes(search, _tasks(training, data))
        found += _loss_mistakes(search, space, root)
    found += [] if train is None else budget_mistakes(search.scheduler, train.epochs)
    return [*found, *_sampler_mistakes(search, space)]


def _rule_of(train: Any, space: SearchSpace) -> str:
    """The rule by which another epoch than the last one trained may judge a trial, if any."""
    if getattr(train, "keep", "last") == "best" or "train.keep" in space.by_path:
        return "train.keep: best"
    varies = any(path.startswith("train.early_stop") for path in space.by_path)
    return "train.early_stop" if varies or getattr(train, "early_stop", None) else ""


def _size_mistakes(data: DataSpec) -> Iterator[Mistake]:
    """Why rungs cannot be sizes of images, where that is known before the data are read."""
    why = lacking(data).get("images")
    if tasks_of(data) == ("segmentation",):
        why = "each pixel has a class"
    if why is not None:
        text = f"size is of images with one answer, and {why}: write budget: epochs"
        yield Mistake(("search", "scheduler", "budget"), text)


def _sampler_mistakes(search: SearchSpec, space: SearchSpace) -> Iterator[Mistake]:
    """What the scheduler, objectives or space ask of a sampler that it cannot do."""
    name, scheduler, at = search.sampler.name, search.scheduler.name, ("search", "sampler")
    can, objectives = SAMPLERS[name], len(search.goal.objectives)
    if SCHEDULERS[scheduler].fits_sampler:
        if objectives > 1:
            text = f"{scheduler} fits its model to one objective, and there are {objectives}: "
            text += "use hyperband, or keep one objective"
            yield Mistake(("search", "scheduler", "name"), text)
        elif not can.fits_one_budget:
            names = ", ".join(sorted(n for n in SAMPLERS if SAMPLERS[n].fits_one_budget))
            text = f"{name} cannot be fitted to one budget, which is what {scheduler} does: "
            yield Mistake((*at, "name"), f"{text}use one of {names}")
        elif "startup_trials" in search.sampler.model_fields_set:
            text = f"{scheduler} decides how many results it needs: leave it out, or set its"
            yield Mistake((*at, "startup_trials"), f"{text} min_points")
    if objectives > 1 and not can.several_objectives:
        names = ", ".join(sorted(n for n in SAMPLERS if SAMPLERS[n].several_objectives))
        text = f"{name} searches for one objective, and there are {objectives}: "
        yield Mistake((*at, "name"), f"{text}use one of {names}")
    for dimension in space.dimensions if can.finite_only else ():
        if dimension.limits is not None:
            text = f"moves its bounds, which {name} cannot follow: remove adapt"
            yield Mistake(("space", dimension.path, "adapt"), text)
        if math.isinf(dimension.distribution.size):
            text = f"is continuous, which {name} cannot search: add a step or write choice"
            yield Mistake(("space", dimension.path), text)


def _install_mistakes(values: Any) -> list[Mistake]:
    """The packages that a spec needs and this machine lacks."""
    search = _read(SearchSpec, values.get("search")) if isinstance(values, Mapping) else None
    text = missing_package(search.sampler) if search else None
    return [Mistake(("search", "sampler", "name"), text)] if text else []


def _unread_mistakes(
    training: Training, search: SearchSpec | None, space: SearchSpace
) -> Iterator[Mistake]:
    """Metrics that need a leaf which is left out, and a share of extra rows without such rows."""
    named: list[tuple[KeyPath, str]] = [
        (("train", "metrics"), name) for name in training.train.metrics
    ]
    named += [(("search",), name) for name in (search.goal.metrics if search else ())]
    for at, name in named:
        needed = METRICS[name].reads if name in METRICS else ""
        leaves = needed.split(" or ")
        varies = any(dimension.path in leaves for dimension in space.dimensions)
        if needed and not varies and not any(leaf_at(training, leaf) for leaf in leaves):
            yield Mistake(at, f"{name} needs {needed}: write it, or leave {name} out")
    share = "sampling.extra_share"
    if training.data.extra is None:
        text = "takes rows of data.extra: write that file, or leave extra_share out"
        if any(dimension.path == share for dimension in space.dimensions):
            yield Mistake(("space", share), text)
        elif training.sampling.extra_share:
            yield Mistake(("sampling", "extra_share"), text)


def _scored_mistakes(train: TrainSpec, tasks: Sequence[Task]) -> Iterator[Mistake]:
    """Metrics of `train.metrics` that none of these tasks has."""
    for name in train.metrics:
        if not is_own(name) and not {*tasks} & {*METRICS[name].tasks}:
            text = f"{name} is not a metric of {' or '.join(tasks)}: leave it out"
            yield Mistake(("train", "metrics"), text)


def _tasks(training: Spec | None, data: DataSpec | None) -> tuple[Task, ...]:
    """The tasks that a spec may be of, as its data and its loss say."""
    tasks: tuple[Task, ...] = get_args(Task) if data is None else tasks_of(data)
    loss = training.loss if isinstance(training, Training) else None
    of_loss = tasks if isinstance(loss, OwnCode | None) else LOSSES[loss.name].tasks
    return tuple(task for task in tasks if task in of_loss) or tasks


def _metric_mistakes(search: SearchSpec, tasks: Sequence[Task]) -> list[Mistake]:
    """Objectives and constraints on what these tasks do not have, or not in this place."""
    task = " or ".join(tasks)
    known = {
        name: metric.direction for name, metric in METRICS.items() if {*tasks} & {*metric.tasks}
    }
    objectives = search.goal.objectives
    names = [objective.metric for objective in objectives]
    found: list[Mistake] = []
    for index, (name, path) in enumerate(zip(names, search.objective_paths, strict=True)):
        if is_own(objectives[index].code) and name not in names[:index]:
            continue  # its code has mistakes of its own
        if name not in known_metrics() and name not in names[:index]:
            found.append(Mistake(path, unknown_name(name, known_metrics(), "metric")))
        elif name in METRICS and name not in known:
            better = ", ".join(f"{{{better}: {name}}}" for name, better in known.items())
            found.append(Mistake(path, f"{name} is not a metric of {task}: write one of {better}"))
        elif name in names[:index]:
            found.append(Mistake(path, f"{name} is listed twice: keep one of them"))
        elif name not in METRICS and index == 0:
            text = (
                f"{name} is not known after every epoch, and schedulers follow the first objective:"
                f" write a list of objectives with a metric first, such as {next(iter(known))}, or"
                " bound it under search.constraints"
            )
            found.append(Mistake(path, text))
    for index, constraint in enumerate(search.constraints):
        at: KeyPath = ("search", "constraints", index)
        if is_own(constraint.metric):
            continue
        if constraint.metric not in known_metrics():
            found.append(Mistake(at, unknown_name(constraint.metric, known_metrics(), "metric")))
        elif constraint.metric in METRICS and constraint.metric not in known:
            text = f"{constraint.metric} is not a metric of {task}: write one of "
            found.append(Mistake((*at, "metric"), text + ", ".join([*known, *COSTS])))
    return found


def _loss_mistakes(search: SearchSpec, space: SearchSpace, root: Root) -> Iterator[Mistake]:
    """Goals that compare the values of different losses of hpo."""
    varied = [d.path for d in space.dimensions if f"{d.path}.".startswith("loss.")]
    variants = variants_of(root, "loss")
    if not varied or variants is None or variants.tag is None:
        return
    names = [objective.metric for objective in search.goal.objectives]
    at = [*zip(search.objective_paths, names, strict=True)]
    at += [
        (("search", "constraints", index, "metric"), constraint.metric)
        for index, constraint in enumerate(search.constraints)
    ]
    for path, metric in at:
        if metric in ("loss", "train_loss"):
            text = f"{metric} cannot compare trials, because {varied[0]} varies and with it what "
            yield Mistake(path, f"{text}{metric} is: name another metric")


def _read(spec: type[S], value: Any) -> S | None:
    try:
        return spec.model_validate(value)
    except ValidationError:
        return None
