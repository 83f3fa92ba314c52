"""Libraries that only some leaves of `data.text` need, and that the extra `text` brings."""

from __future__ import annotations

import importlib
import warnings
from contextlib import suppress
from importlib import metadata
from types import ModuleType

from hpo.errors import DataError
from hpo.spec.sections.columns import Text

# The leaves that need one, with the values that do.
_NEEDED_BY = {
    ("tokens", "bpe"): "tokenizers",
    ("tokens", "jieba"): "jieba",
    ("reduce", "stem"): "snowballstemmer",
    ("reduce", "lemma"): "simplemma",
}


def versions(spec: Text) -> list[str]:
    """The versions of the libraries on which the features of texts depend, if they are there."""
    found = []
    for (leaf, value), name in _NEEDED_BY.items():
        if getattr(spec, leaf) == value:
            with suppress(metadata.PackageNotFoundError):
                found.append(metadata.version(name))
    return found


def imported(name: str, asked: str) -> ModuleType:
    """The library of this name, for what a spec has asked for.

    Raises:
        DataError: if it is not installed.
    """
    try:
        with warnings.catch_warnings():
            # jieba has had no release since 2020: Python warns of its old forms of code.
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        raise DataError(
            f"data.text.{asked} needs {name}, which is not installed: run `pip install "
            "'hpo-lanes[text]'`."
        ) from None
