"""Warm start: what a study knows besides its own trials, from earlier studies and its user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from hpo.errors import StudyError
from hpo.search.proposals.moving_ranges import widest
from hpo.search.proposals.warm_start import EarlierStudy, WarmStart
from hpo.search.results.pareto import Point, along_front, fronts
from hpo.space import RangeMove, SearchSpace
from hpo.spec.experiment import Experiment
from hpo.spec.file.passwords import without_password
from hpo.spec.marks import Spec
from hpo.spec.sections.goal import COSTS, KNOWN_COSTS, Goal
from hpo.spec.sections.search import SearchSpec
from hpo.spec.space.start import start_points
from hpo.spec.space.translate import can_take, nearest, translated, translations
from hpo.spec.words import count_text
from hpo.study.log.events import Event, StudyState, fold
from hpo.study.log.judging import Judging
from hpo.study.log.notes import EXPORTED, Learn, Move, Note, decided_engine
from hpo.study.storage.database import is_same_database, parsed_url
from hpo.study.storage.journal import Journal
from hpo.study.storage.provenance import Provenance
from hpo.study.storage.stored import stored_experiment
from hpo.study.storage.tables import NothingStoredError, Storage, StudyRecord
from hpo.trial import HParams, Trial

# How many configurations of each earlier study are tried again (with several objectives, at least
# one more than there are objectives), and how many results are taken over.
_POINTS = 3
_MOST_TRIALS = 100


def learnt_from_sources(
    experiment: Experiment,
    storage: Storage,
    provenance: Provenance,
    notes: Sequence[Note],
    say: Callable[[str], None],
    *,
    learns: bool,
) -> list[Learn]:
    """What a study learns from those sources of its spec that it has not noted yet.

    Results are included only if `learns` is set: the sampler learns from them.

    Raises:
        StudyError: for a source that cannot be read, or is the study itself.
    """
    search = experiment.search
    assert search is not None
    noted, found = noted_sources(notes), []
    for source in search.sources:
        if without_password(source) in noted:
            continue
        learnt = _learn_from(source, _found(source, experiment, storage), experiment, provenance)
        if not learns:
            learnt = replace(learnt, trials=(), unmeasured=())
        say(str(learnt))
        found.append(learnt)
    return found


def check_sources(experiment: Experiment, storage: Storage, noted: Set[str] = frozenset()) -> None:
    """Refuse sources that a study cannot learn from, before the study is stored.

    Sources that are `noted` in its log are not read again, so they may be gone.

    Raises:
        StudyError: for a source that cannot be read, or is the study itself.
    """
    assert experiment.search is not None
    for source in experiment.search.sources:
        if without_password(source) not in noted:
            _found(source, experiment, storage)


def noted_sources(happenings: Iterable[object]) -> set[str]:
    """The sources that a study has learnt from, according to its events; without passwords."""
    return {without_password(what.source) for what in happenings if isinstance(what, Learn)}


def warm_start_of(
    experiment: Experiment, journal: Journal, say: Callable[[str], None]
) -> WarmStart:
    """What a study's sampler is told, from the spec and the log; moves of ranges go into the log.

    Tells the user how many trials lie outside the present space.
    """
    state, search = journal.state, experiment.search
    assert search is not None
    learnt = [note for note in state.notes if isinstance(note, Learn)]
    values = experiment.training.model_dump(exclude_unset=True)
    space = widest(experiment.space)
    root = type(experiment.training)
    changed = translations(space, values, state.trials, root)
    outside = sum(hparams is None for hparams in changed.values())
    if outside:
        say(
            f"Outside the present space: {outside:,} of {count_text(len(state), 'trial')}."
            " Such trials stay in the study, and the sampler does not learn from them."
        )

    def record(move: RangeMove) -> None:
        note = Move(move)
        say(str(note))
        journal.record(note)

    return WarmStart(
        points=(
            *start_points(experiment.space, values, search.start, root),
            *(
                point
                # The best of each first, then the second best of each.
                for points in zip_longest(*(note.points for note in learnt))
                for point in points
                if point is not None and can_take(experiment.space, point)
            ),
        ),
        studies=tuple(
            EarlierStudy(
                _still(note, space, values, root, len(search.goal.objectives)), note.is_comparable
            )
            for note in learnt
        ),
        translated=changed,
        moves=lambda: [note.move for note in state.notes if isinstance(note, Move)],
        record=record,
    )


def _still(
    note: Learn,
    space: SearchSpace,
    values: Mapping[str, Any],
    root: type[Spec],
    objectives: int,
) -> tuple[Trial, ...]:
    """The noted trials of an earlier study that lie in the present space."""
    if objectives > 1 and any(len(trial.values) != objectives for trial in note.trials):
        return ()  # an earlier version noted them, with losses alone
    changed = translations(space, values, note.trials, root)
    return tuple(
        replace(trial, hparams=hparams)
        for trial in note.trials
        if (hparams := changed.get(trial.number, trial.hparams)) is not None
    )


@dataclass(frozen=True)
class _Earlier:
    """A study to learn from: its spec and its log."""

    record: StudyRecord
    experiment: Experiment
    search: SearchSpec
    events: Sequence[Event]


def _found(source: str, experiment: Experiment, storage: Storage) -> _Earlier:
    url, _, name = source.rpartition("#")
    with ExitStack() as stack:
        try:
            is_here = not url or is_same_database(parsed_url(url), storage.url)
            if is_here and name == experiment.name:
                raise StudyError(f"'{name}' is this study itself: name another.")
            if experiment.is_stored and not is_here:
                raise StudyError(
                    f"{without_password(url)} is named by the stored spec alone, and hpo opens "
                    "another database only for a spec of yours: run `hpo search SPEC`."
                )
            there = storage if is_here else stack.enter_context(Storage.read(url))
            record = there.study(name)
            earlier = stored_experiment(record, there.where)
            if earlier.search is None:
                raise StudyError(f"study '{record.name}' has no search: name another.")
            return _Earlier(record, earlier, earlier.search, there.events(record.id))
        except NothingStoredError as error:
            raise StudyError(
                f"search.from: {error.fact}: name an existing database and a study that it holds,"
                " or leave it out."
            ) from None
        except StudyError as error:
            raise StudyError(f"search.from: {error}") from None


def _learn_from(
    source: str, there: _Earlier, experiment: Experiment, provenance: Provenance
) -> Learn:
    assert experiment.search is not None
    earlier, record = there.experiment, there.record
    ours = experiment.search.goal
    is_single = len(ours.objectives) == 1
    state, unmeasured = _judged(there, ours)
    complete = [trial for trial in state.trials if trial.is_full]
    # A trial that copied weights did not reach its loss by its hparams alone. Still, trying the
    # last hparams of a population is better than trying none.
    own = [trial for trial in complete if not trial.exploited]
    ranked = _ranked(own or complete)
    # With one objective, the losses are enough.
    results = [replace(t, values=()) if is_single else t for front in ranked for t in front]
    if not own or (unmeasured and not is_single):
        results = []
    before = Provenance.of(record)
    is_timed = any(o.metric in COSTS and o.metric not in KNOWN_COSTS for o in ours.objectives)
    # Before there were notes of it, and where a model has no export, JAX was timed.
    engine = decided_engine(state.notes)
    is_exported = engine is not None and engine.name == EXPORTED
    is_comparable = (
        before.data_fingerprint == provenance.data_fingerprint
        and not unmeasured
        # Times measured on another machine do not compare.
        and (before.device == provenance.device or not is_timed)
        and (is_exported or "latency_ms" not in ours.metrics)
        and earlier.training.train.epochs == experiment.training.train.epochs
    )
    return Learn(
        without_password(source),
        is_comparable,
        _to_try(ranked, experiment, earlier, max(_POINTS, len(state.goal.objectives) + 1)),
        _to_show(results, experiment, earlier),
        () if is_single else unmeasured,
    )


def _judged(there: _Earlier, ours: Goal) -> tuple[StudyState, tuple[str, ...]]:
    """An earlier study judged by our objectives, and our metrics that it has not measured.

    If it has not measured them all, its own objectives judge it. The constraints are ours, as far
    as it measured their metrics.
    """
    theirs, where = there.search.goal, there.record.where
    judging = Judging.of(there.experiment.training.train, theirs.first)
    state = fold(there.events, Goal(theirs.objectives, ours.constraints), where, judging)
    ended = [state.results(t.number) for t in state.trials if t.is_full]
    reports = [report for line in state.metrics.values() for report in line]
    unmeasured = tuple(
        objective.metric
        for objective in ours.objectives
        # The first objective is measured at every epoch, the others at the end of training.
        for results in [reports if objective is ours.first else ended]
        if any(objective.metric not in measured for measured in results)
    )
    if unmeasured or theirs.objectives == ours.objectives:
        return state, unmeasured
    judging = Judging.of(there.experiment.training.train, ours.first)
    return fold(there.events, ours, where, judging), ()


def _ranked(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Trials by Pareto front, the best first; then, one by one, those that break constraints."""
    kept = [trial for trial in trials if trial.violation == 0]
    broken = [trial for trial in trials if trial.violation > 0]
    return [
        *([kept[index] for index in front] for front in fronts([_point(trial) for trial in kept])),
        *([t] for t in sorted(broken, key=lambda t: (t.violation, _point(t), t.number))),
    ]


def _point(trial: Trial) -> Point:
    """A trial's result in each of the objectives."""
    return trial.values or trial.losses[-1:]


def _to_try(
    ranked: Sequence[Sequence[Trial]], experiment: Experiment, earlier: Experiment, most: int
) -> tuple[HParams, ...]:
    """At most `most` configurations of a space, taken from each front from its ends inwards."""
    values = earlier.training.model_dump(exclude_unset=True)
    space, root = experiment.space, type(earlier.training)
    points: list[HParams] = []
    for front in ranked:
        for index in along_front([_point(trial) for trial in front]):
            point = nearest(space, values, front[index].hparams, root)
            if point is not None and point not in points:
                points.append(point)
            if len(points) == most:
                return tuple(points)
    return tuple(points)


def _to_show(
    ranked: Sequence[Trial], experiment: Experiment, earlier: Experiment
) -> tuple[Trial, ...]:
    """The ranked trials that lie in a study's space, with curves over the study's epochs."""
    space, epochs = widest(experiment.space), experiment.training.train.epochs
    values = earlier.training.model_dump(exclude_unset=True)
    root = type(earlier.training)
    return tuple(
        replace(trial, hparams=hparams, losses=resampled(trial.losses, epochs))
        for trial in spread(ranked, _MOST_TRIALS)
        if (hparams := translated(space, values, trial.hparams, root)) is not None
    )


def spread(trials: Sequence[Trial], most: int) -> list[Trial]:
    """At most `most` of ranked trials, from the best to the worst at even distances."""
    if len(trials) <= most:
        return list(trials)
    return [trials[index * (len(trials) - 1) // (most - 1)] for index in range(most)]


def resampled(losses: Sequence[float], epochs: int) -> tuple[float, ...]:
    """A curve over another number of epochs, with the value at the same share of the training.

    Shares are compared, because a learning-rate schedule spans the whole training.
    """
    count = len(losses)
    return tuple(losses[-(-epoch * count // epochs) - 1] for epoch in range(1, epochs + 1))
