"""The code of a user's own that a spec names: what a study knows of it, and what it may run.

A study keeps the reference and the hash of code, never the code itself. So a database that comes
from elsewhere, or code that has changed since, runs nothing unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.errors import StudyError
from hpo.own_files import is_noted, note
from hpo.space import SearchSpace, can_give, same_value
from hpo.spec.code.own_code import code_sections
from hpo.spec.code.reference import Code
from hpo.spec.experiment import Experiment
from hpo.spec.marks import Spec
from hpo.spec.words import shown
from hpo.study.log.events import Event, Happening, ReplicaReport, Report, Start
from hpo.trial import HParams

if TYPE_CHECKING:
    from hpo.study.storage.tables import StudyRecord  # imports SQLAlchemy

# The key of a study's provenance, and of the notes of a start, that holds the hash of each file.
CODE = "code"


def code_of(training: Spec) -> dict[str, str]:
    """The hash of the file of each piece of code that a training names, empty if it is missing."""
    return {text: "" if code is None else code.sha256 for text, code in _named(training)}


def tell_code(training: Spec, say: Callable[[str], None]) -> None:
    """Say which code of the user's own will run."""
    for _, code in _named(training):
        if code is not None:
            say(f"Runs {code}.")


def known_code(record: StudyRecord, starts: Iterable[Happening]) -> Mapping[str, str]:
    """The hashes of the code that a study last ran, or that it was made with."""
    known: Mapping[str, str] = record.provenance.get(CODE, {})
    for start in starts:
        if isinstance(start, Start):
            known = start.driver.get(CODE, known)
    return known


def trained_code(
    record: StudyRecord, events: Iterable[Event], trials: Set[int]
) -> list[Mapping[str, str]]:
    """The hashes of the code with which any of these trials trained, each version once."""
    known: Mapping[str, str] = record.provenance.get(CODE, {})
    found: list[Mapping[str, str]] = []
    for event in events:
        if isinstance(event.what, Start):
            known = event.what.driver.get(CODE, known)
        elif isinstance(event.what, Report | ReplicaReport) and event.trial in trials:
            found += [known] if known not in found else []
    return found


def check_code(
    study: str,
    then: Mapping[str, str],
    training: Spec,
    *,
    is_trusted: bool,
    cure: str = "",
    trial: int | None = None,
) -> None:
    """Refuse to go on with a study whose code is missing, or has changed since it last ran.

    `then` are the hashes of its code (`known_code`), or those with which `trial` trained. `cure` is
    a way out beside `--trust-code`.

    Raises:
        StudyError: with the code and both hashes.
    """
    for text, sha256 in code_of(training).items():
        if not sha256:
            raise StudyError(f"study '{study}' runs {text}, which is missing here: put it back.")
        if sha256 != then.get(text) and not is_trusted:
            before = f"sha256 {then[text][:8]}" if then.get(text) else "no hash of it"
            which = "last ran" if trial is None else f"has trial {trial}, which trained"
            raise StudyError(
                f"study '{study}' {which} with another version of {text} ({before}, now "
                f"{sha256[:8]}): put that back, {cure}or run the present one with --trust-code."
            )


def remember_code(experiment: Experiment, home: Path | None) -> None:
    """Note that the user has run this code here, by a spec or with `--trust-code`."""
    for about in _code_and_arguments(experiment):
        note(home, about)


def check_known(
    experiment: Experiment, tried: Iterable[HParams], home: Path | None, *, is_trusted: bool
) -> None:
    """Refuse code that a stored spec names and that the user has not run here with its arguments.

    The hash is not enough: the author of a database knows the hashes of installed packages. `tried`
    are the hparams of the study's trials, which also become arguments. `home` is the folder of
    notes: without one, no code is known.

    Raises:
        StudyError: with the code and its file, or the argument that no space of the user's gives.
    """
    if is_trusted:
        return
    if not all(is_noted(home, about) for about in _code_and_arguments(experiment)):
        for text, code in _named(experiment.training):
            if code is not None:
                raise StudyError(
                    f"study '{experiment.name}' names {text} in {code.file}, which no spec of yours"
                    " has run here with these arguments: read both, then add --trust-code."
                )
    starts = tuple(f"{where}." for where, _ in code_sections(experiment.training))
    check_given(experiment, tried, starts)


def check_given(
    experiment: Experiment, tried: Iterable[HParams], starts: tuple[str, ...] = ("",)
) -> None:
    """Refuse a text among the hparams of trials that the study's space does not give.

    `starts` are what the paths of the arguments begin with; those of a command are all values.

    Raises:
        StudyError: with the value.
    """
    for hparams in tried:
        for path, value in hparams.items():
            if f"{path}.".startswith(starts) and not _is_given(experiment.space, hparams, path):
                raise StudyError(
                    f"study '{experiment.name}' has a trial with {path} = {shown(value)}, which its"
                    " space does not give: look at it, then add --trust-code."
                )


def _is_given(space: SearchSpace, hparams: HParams, path: str) -> bool:
    """Whether a value is a number or flag, or one that the space gives."""
    value = hparams[path]
    if isinstance(value, int | float) or value is None:
        return True  # ranges move, and populations leave them
    if path in space.by_path:
        return can_give(space.by_path[path].distribution, value)
    complete = space.completed(hparams)
    return path in complete and same_value(complete[path], value)


def _code_and_arguments(experiment: Experiment) -> Iterator[list[Any]]:
    """What the note about each piece of code is about.

    It is another note for other arguments, fixed or varied, and for another folder of their paths.
    """
    training, whole = experiment.training, experiment.document.get("space", {})
    found: list[tuple[Code | None, Any]] = []
    for where, section in code_sections(training):
        # The keys that hpo itself reads are no arguments.
        own = {*getattr(type(section).__base__, "model_fields", ())}
        below = f"{where}."
        # A formula reads other entries.
        is_derived = any(one.path.startswith(below) for one in experiment.space.derived)
        varied = {
            path: entry
            for path, entry in whole.items()
            if is_derived or f"{path}.".startswith(below)
        }
        arguments = [section.model_dump(mode="json", exclude=own), varied]
        found.append((section.own.code, arguments))
    found += [(own.code, None) for own in getattr(training, "own_metrics", {}).values()]
    folder = str(experiment.folder.resolve())
    for code, arguments in found:
        if code is not None:
            yield [str(code.file.resolve()), code.name, code.sha256, folder, arguments]


def check_exported(training: Spec, *, is_trusted: bool) -> None:
    """Refuse to train an exported spec whose code is missing, or has changed since.

    Raises:
        StudyError: with the code and both hashes.
    """
    asked = [
        (name, section.own.code, getattr(section, "sha256", ""))
        for name, section in code_sections(training)
    ]
    for own in getattr(training, "own_metrics", {}).values():
        asked += [("train.metrics", own.code, then) for then in own.asked]
    for where, code, then in asked:
        if code is not None and then not in ("", code.sha256) and not is_trusted:
            raise StudyError(
                f"{where}.sha256: {code.text} is another version (sha256 {code.sha256[:8]}) "
                f"than the spec was exported with ({then[:8]}): put that back, or run the present "
                "one with --trust-code."
            )


def _named(training: Spec) -> Iterator[tuple[str, Code | None]]:
    """The references to code in the sections of a training, with the code, if it was found."""
    for _, section in code_sections(training):
        yield section.python, section.own.code
    for text, own in getattr(training, "own_metrics", {}).items():
        yield text, own.code
