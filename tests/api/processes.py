"""Processes that search, and the log that they write."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

# Far more than a test waits for.
ENDLESS = {"search.trials": 100_000}


class Log:
    def __init__(self, database: Path) -> None:
        self.database = database

    def values(self, kind: str) -> list[str]:
        """What events of a kind hold, in JSON."""
        if not self.database.exists():
            return []
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            query = "select value from hpo_events where kind = ? order by seq"
            return [value for (value,) in connection.execute(query, (kind,))]
        except sqlite3.OperationalError:
            return []  # not there yet
        finally:
            connection.close()

    def wait_for(self, kind: str, count: int = 1) -> None:
        deadline = time.monotonic() + 120
        while len(self.values(kind)) < count:
            assert time.monotonic() < deadline, f"no {count} events of kind {kind}"
            time.sleep(0.02)


def parent(folder: Path, code: str) -> subprocess.Popen[str]:
    """A process of Python that searches."""
    return subprocess.Popen(
        # A shell that starts the tests in the background has them ignore SIGINT.
        [
            sys.executable,
            "-c",
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            f"import hpo\n{code}",
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
