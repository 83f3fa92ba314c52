"""Thousands of trials of no cost, killed and gone on with."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.checkout import ROOT

TRIALS, EPOCHS = 4_000, 2

_SCRIPT = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
import storage
storage.EPOCHS = {EPOCHS}
storage.search(Path(sys.argv[1]), {TRIALS})
"""


def count(database: Path, query: str) -> int:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not there yet
    finally:
        connection.close()


@pytest.mark.long
def test_thousands_of_trials_survive_a_kill(tmp_path: Path) -> None:
    database = tmp_path / "hpo.db"
    database.touch()
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path)]
    ends = "select count(*) from hpo_events where kind = 'end'"
    with subprocess.Popen(command) as process:
        while process.poll() is None and count(database, ends) < TRIALS // 2:
            time.sleep(0.02)
        assert process.poll() is None, "it was done before it could be killed"
        process.kill()
    assert TRIALS // 2 <= count(database, ends) < TRIALS
    subprocess.run(command, check=True)

    one_of_each = "select count(*) from (select distinct trial, epoch from hpo_events where kind = "
    for kind, each in [("propose", 1), ("report", EPOCHS), ("end", 1)]:
        assert count(database, f"{one_of_each}'{kind}')") == TRIALS * each
        rows = f"select count(*) from hpo_events where kind = '{kind}'"
        assert count(database, rows) == TRIALS * each
    assert count(database, "select count(*) from trials where state = 'COMPLETE'") == TRIALS
    values = "select count(*) from trial_intermediate_values"
    assert count(database, values) == TRIALS * EPOCHS
    assert count(database, "select count(*) from hpo_studies where mirrored_seq > 0") == 1
