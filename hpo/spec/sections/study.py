"""The section `study` of a spec: where the study is kept."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from hpo.errors import cut
from hpo.spec.marks import Positive, Spec


def _storage_url(value: str) -> str:
    if re.fullmatch(r"[\w./\\~-]+", value):
        raise ValueError(f"is not a database URL: write sqlite:///{cut(value)}")
    if not re.match(r"[\w+]+://", value):
        raise ValueError("is not a database URL: write one such as sqlite:///hpo.db")
    if re.match(r"sqlite\b", value) and not re.match(r"[\w+]+:///(?!:memory:)[^?]", value):
        raise ValueError("names no file: write one such as sqlite:///hpo.db")
    return value


class StudySpec(Spec):
    """Where the study is kept."""

    storage: Annotated[str, AfterValidator(_storage_url)] = "sqlite:///hpo.db"
    """The database of the study, such as sqlite:///hpo.db."""
    checkpoint_seconds: Positive = 10.0
    """Seconds of training that a killed process may have to repeat."""
