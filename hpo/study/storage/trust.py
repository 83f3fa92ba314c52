"""The code of a user's own that a spec names: what a study knows of it, and what it may run.

A study keeps the reference and the hash of code, never the code itself. So a database that comes
from elsewhere, or code that has changed since, runs nothing unasked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.errors import StudyError
from hpo.spec.code.reference import Code
from hpo.spec.marks import Spec
from hpo.study.log.events import Happening, Start

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


def check_code(
    study: str, then: Mapping[str, str], training: Spec, *, is_trusted: bool, cure: str = ""
) -> None:
    """Refuse to go on with a study whose code is missing, or has changed since it began.

    `then` are the hashes of its code (`known_code`). `cure` is a way out beside `--trust-code`.

    Raises:
        StudyError: with the code and both hashes.
    """
    for text, sha256 in code_of(training).items():
        if not sha256:
            raise StudyError(f"study '{study}' runs {text}, which is missing here: put it back.")
        if sha256 != then.get(text) and not is_trusted:
            before = f"sha256 {then[text][:8]}" if then.get(text) else "no hash of it"
            raise StudyError(
                f"study '{study}' began with another version of {text} ({before}, now "
                f"{sha256[:8]}): put that back, {cure}or run the present one with --trust-code."
            )


def remember_code(training: Spec, cache: Path | None) -> None:
    """Note in the cache that the user has run this code here, by a spec or with `--trust-code`."""
    for mark in _marks(training, cache):
        with suppress(OSError):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def check_known(study: str, training: Spec, cache: Path | None, *, is_trusted: bool) -> None:
    """Refuse code that a stored spec names and that the user has not run here.

    The hash is not enough: the author of a database knows the hashes of installed packages.

    Raises:
        StudyError: with the code and its file.
    """
    if is_trusted or (cache is not None and all(m.exists() for m in _marks(training, cache))):
        return
    for text, code in _named(training):
        if code is not None:
            raise StudyError(
                f"study '{study}' names {text} in {code.file}, which no spec of yours has run here:"
                " read it, then add --trust-code."
            )


def _marks(training: Spec, cache: Path | None) -> list[Path]:
    """A file in the cache for each piece of code, which is there if the user has run it."""
    if cache is None:
        return []
    codes = [code for _, code in _named(training) if code is not None]
    texts = [f"{code.file.resolve()}:{code.name} {code.sha256}" for code in codes]
    return [cache / f"{hashlib.sha256(text.encode()).hexdigest()}.code" for text in texts]


def check_exported(training: Spec, *, is_trusted: bool) -> None:
    """Refuse to train an exported spec whose code is missing, or has changed since.

    Raises:
        StudyError: with the code and both hashes.
    """
    for name, section, code in _sections(training):
        then = getattr(section, "sha256", "")
        if code is not None and then not in ("", code.sha256) and not is_trusted:
            raise StudyError(
                f"{name}.sha256: {section.python} is another version (sha256 {code.sha256[:8]}) "
                f"than the spec was exported with ({then[:8]}): put that back, or run the present "
                "one with --trust-code."
            )


def _named(training: Spec) -> Iterator[tuple[str, Code | None]]:
    """The references to code in the sections of a training, with the code, if it was found."""
    for _, section, code in _sections(training):
        yield section.python, code
    for text, own in getattr(training, "own_metrics", {}).items():
        yield text, own.code


def _sections(training: Spec) -> Iterator[tuple[str, Any, Code | None]]:
    """The sections of a training that name code: their names, specs and code."""
    for name in type(training).model_fields:
        section = getattr(training, name)
        inner = getattr(section, "dataset", None)
        for where, part in ((name, section), (f"{name}.dataset", inner)):
            if isinstance(part, Spec) and (own := getattr(part, "own", None)) is not None:
                yield where, part, own.code
