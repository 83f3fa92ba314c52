"""URLs of files and folders on other machines, which a spec may name and a study keeps."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"(?i)((password|passwd|pwd|secret|token|signature|credential|auth|key|keyid)|(^|[^a-z])sig)="
)


def is_url(path: str) -> bool:
    """Whether a path is that of a file on another machine, such as `s3://bucket/t.csv`."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


def without_secrets(path: str) -> str:
    """A path or URL that shows nobody how to log in: a study keeps it.

    Raises:
        ValueError: for a URL with a name, a password or the like, or one within another.
    """
    if not is_url(path):
        return path
    if "@" in path.split("://", 1)[1].partition("/")[0] or _SECRET.search(path):
        text = "holds a password or key, which others would see: give it to the file system by "
        raise ValueError(f"{text}its settings or environment, and leave it out")
    if "::" in path:
        raise ValueError("is a URL within another: name the file alone")
    return path
