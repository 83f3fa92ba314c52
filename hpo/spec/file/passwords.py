"""Passwords in the URLs of databases: used to connect, never stored and never shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# As SQLAlchemy reads a URL, and what stands before a further @, which a password should not hold.
_USER = re.compile(r"^([\w+]+://[^:/]*):[^@]*@(?:[^/?#]*@)*")
_SECRET = re.compile(r"password|passwd|pwd|passphrase|secret|token", re.IGNORECASE)


def without_password(url: str) -> str:
    """A database URL without its password: `postgresql://me@host/db`; other text stays as it is.

    A URL may be followed by `#` and the name of a study, as under `search.from`.
    """
    url = _USER.sub(r"\1@", url)
    address, is_asked, rest = url.partition("?")
    query, is_named, name = rest.rpartition("#") if "#" in rest else (rest, "", "")
    kept = "&".join(part for part in query.split("&") if not _SECRET.search(part.partition("=")[0]))
    return f"{address}{is_asked if kept else ''}{kept}{is_named}{name}"


def without_passwords(document: Mapping[str, Any]) -> dict[str, Any]:
    """A spec as plain values without the passwords of `study.storage` and `search.from`."""
    changed = dict(document)
    study, search = document.get("study"), document.get("search")
    if isinstance(study, Mapping) and isinstance(study.get("storage"), str):
        changed["study"] = {**study, "storage": without_password(study["storage"])}
    if isinstance(search, Mapping) and isinstance(search.get("from"), list | tuple):
        sources = [without_password(s) if isinstance(s, str) else s for s in search["from"]]
        changed["search"] = {**search, "from": sources}
    return changed
