"""Runs code as a user who is not root, so that permissions hold wherever the tests run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.checkout import ROOT

_NOBODY = 65534


def run_without_rights(
    folder: Path, imports: str, code: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run `imports` and then, without the rights of root, `code` in `folder`.

    The way to the folder is opened to others, because root's temporary folders are closed to them.
    """
    for parent in folder.parents:
        if Path(tempfile.gettempdir()) in parent.parents and parent.stat().st_uid == os.getuid():
            parent.chmod(parent.stat().st_mode | 0o055)
    dropped = f"import os\n{imports}\nos.geteuid() or os.setuid({_NOBODY})\n{code}"
    return subprocess.run(
        [sys.executable, "-c", dropped, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
