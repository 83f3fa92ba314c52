"""The files of this checkout, for tests that read them."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def files() -> list[Path]:
    """Each file that git tracks or would add, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    paths = (Path(name) for name in listed.split("\0") if name)
    return sorted({path for path in paths if (ROOT / path).is_file()})
