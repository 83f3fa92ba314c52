"""What the Tab key offers: names of studies, paths and values after `--set`, data sets.

Typer calls the functions here for the shells that it knows. They look at the words on the line
themselves, because a line that is not finished cannot be parsed.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from hpo.errors import HpoError

# Set by the script that `hpo --install-completion` installs: `complete_bash`, `complete_zsh`, ...
ASKED = "_HPO_COMPLETE"
# The names that a spec takes; the module that checks them takes too long to import.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IS_TABLE = "SELECT 1 FROM sqlite_master WHERE name = 'hpo_studies' AND rootpage > 0"
# How long a database may be locked before its studies are not offered.
_BUSY_SECONDS = 0.2


def answer(run: Callable[[], object], environment: MutableMapping[str, str]) -> tuple[str, int]:
    """What the command line, `run`, prints for a shell that asks to complete a word.

    With it comes the exit code, by which fish asks whether there is anything to offer. A failure
    prints nothing: an error message between the words of a line helps nobody.
    """
    prefix = _join_words(environment) if environment[ASKED] == "complete_bash" else ""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        try:
            run()
        except SystemExit as ended:
            if ended.code:
                return "", int(ended.code)
        except Exception:
            return "", 0
    lines = printed.getvalue().splitlines(keepends=True)
    return "".join(line.removeprefix(prefix) for line in lines), 0


def files() -> list[str]:
    """Nothing: the shell then offers the names of files."""
    return []


def studies(incomplete: str) -> list[str]:
    """The studies in the SQLite file that the line names, or in the default one."""
    from hpo.api.surroundings import default_storage

    url = next(_values_of("--storage", _words()), None) or default_storage()
    return [name for name in study_names(url) if name.startswith(incomplete)]


def study_names(url: str) -> list[str]:
    """The names of the studies in a SQLite file, newest first; none where it cannot be read.

    Asks SQLite itself: to import SQLAlchemy takes longer than a user waits for the Tab key.
    """
    file = Path(url.removeprefix("sqlite:///")).expanduser()
    if not url.startswith("sqlite:///") or not file.is_file():
        return []
    for mode in ("mode=ro", "immutable=1"):  # the latter for a folder that cannot be written
        address = f"{file.absolute().as_uri()}?{mode}"
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as database,
        ):
            if database.execute(_IS_TABLE).fetchone() is None:
                return []
            rows = database.execute("SELECT name FROM hpo_studies ORDER BY id DESC")
            # The shell takes a name as it is: another one may hold a command.
            return [name for (name,) in rows if _NAME.fullmatch(str(name))]
    return []


def overrides(incomplete: str) -> list[str]:
    """`path=value` for `--set`, by the spec that the line names and what it sets already.

    A single path is offered with its values: the names that it may take, or what it has now.
    """
    from hpo.spec.reference.leaves import offers

    offered = _offered_by_the_line(offers)
    path, equals, _ = incomplete.partition("=")
    paths = [path] if equals else [known for known in offered if known.startswith(path)]
    if len(paths) > 1:
        return [f"{known}=" for known in paths]
    found = [f"{known}={value}" for known in paths for value in offered.get(known) or [""]]
    return [text for text in found if text.startswith(incomplete)]


def datasets(incomplete: str) -> list[str]:
    """The data sets that can be downloaded."""
    from hpo.data.download import DOWNLOADS

    return [name for name in sorted(DOWNLOADS) if name.startswith(incomplete)]


def devices(incomplete: str) -> list[str]:
    """JAX's own platforms; to know those of its plugins, JAX would have to be imported."""
    return [name for name in ("cpu", "gpu", "tpu") if name.startswith(incomplete)]


def _offered_by_the_line(
    offers: Callable[[Path | None, Sequence[str]], dict[str, list[str]]],
) -> dict[str, list[str]]:
    words = _words()
    spec = next((Path(word) for word in words if word.endswith((".yaml", ".yml"))), None)
    complete = [text for text in _values_of("--set", words) if "=" in text]
    with suppress(HpoError):
        return offers(spec, complete)
    with suppress(HpoError):
        return offers(spec, ())
    return offers(None, ())


def _words() -> list[str]:
    """The words on the line before the one to complete."""
    if os.environ.get(ASKED) == "complete_bash":
        words = os.environ.get("COMP_WORDS", "").split("\n")
        return [_plain(word) for word in words[1 : int(os.environ.get("COMP_CWORD", "1"))]]
    line = os.environ.get("_TYPER_COMPLETE_ARGS", "")
    words = line.split()
    return [_plain(word) for word in (words[1:] if line[-1:].isspace() else words[1:-1])]


def _plain(word: str) -> str:
    with suppress(ValueError):  # a quote that is still open
        return " ".join(shlex.split(word))
    return word


def _values_of(option: str, words: Sequence[str]) -> Iterator[str]:
    for index, word in enumerate(words):
        if word == option and index + 1 < len(words):
            yield words[index + 1]
        elif word.startswith(f"{option}="):
            yield word.removeprefix(f"{option}=")


def _join_words(environment: MutableMapping[str, str]) -> str:
    """Join again the words that bash split at `=` and `:`; the prefix to leave out of the answer.

    Bash replaces only what follows the last `=` or `:`, so the answer must not repeat the rest.
    """
    words, current = environment["COMP_WORDS"].split("\n"), int(environment["COMP_CWORD"])
    joined, prefix, is_open = words[:1], "", False
    for word in words[1 : current + 1]:
        is_break = bool(word) and not word.strip("=:")
        if is_break or (is_open and word):
            prefix = joined[-1] + word if is_break else joined[-1]
            joined[-1] += word
        else:
            prefix = ""
            joined.append(word)
        is_open = is_break
    environment["COMP_WORDS"] = "\n".join(joined)
    environment["COMP_CWORD"] = str(len(joined) - 1)
    # Of `--set=path=value` Typer completes `path=value`.
    return prefix.partition("=")[2] if prefix.startswith("--") else prefix
