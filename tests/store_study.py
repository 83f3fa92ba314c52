"""Keeps a study of this release, stopped halfway, for the tests of the releases that follow.

    .venv/bin/python -m tests.store_study tests/stored/0.2.0/words.yaml --reports 40

searches the spec in an empty folder, stops after that many reports, and keeps the database. Then it
lets this release resume the study, and keeps what comes of it: see `test_stored_studies.py`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from hpo.study.storage.rows import study_checksum
from tests.study.test_stored_studies import processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--reports", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        keep(arguments.spec.resolve(), arguments.reports, Path(folder))


def keep(spec: Path, reports: int, folder: Path) -> None:
    """Write the database, the results and the exported winner beside a spec."""
    name, database = spec.stem, folder / "hpo.db"
    # Two devices, as in the tests; no cache of the user's.
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2", "HPO_CACHE": str(folder / "cache")}
    hpo = [sys.executable, "-m", "hpo"]
    shutil.copy(spec, folder)
    search = subprocess.Popen([*hpo, "search", spec.name], cwd=folder, env=environment)
    while search.poll() is None and count(database) < reports:
        time.sleep(0.005)
    search.send_signal(signal.SIGINT)
    if search.wait() == 0:
        raise SystemExit("The study finished before it was stopped: ask for fewer --reports.")
    without_place(database)
    stopped = gzip.compress(database.read_bytes(), 9, mtime=0)
    spec.with_name(f"{name}.db.gz").write_bytes(stopped)
    subprocess.run([*hpo, "resume", name], cwd=folder, env=environment, check=True)
    best = spec.with_name(f"{name}-best.yaml")
    best.unlink(missing_ok=True)
    subprocess.run([*hpo, "export", name, "-o", str(best)], cwd=folder, env=environment, check=True)
    text = best.read_text().replace(str(folder), ".")
    best.write_text(text)
    spec.with_name(f"{name}.json").write_text(json.dumps(results(database)) + "\n")


def count(database: Path) -> int:
    """The reports that a study's log holds by now."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            query = "select count(*) from hpo_events where kind = 'report'"
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # its tables are not there yet
            return 0


def without_place(database: Path) -> None:
    """Leave the path of the temporary folder out, and make the database one small file."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.row_factory = sqlite3.Row
    (row,) = connection.execute("select * from hpo_studies").fetchall()
    folder = {"folder": f"/studies/{database.parent.name}"}
    provenance = json.dumps(json.loads(row["provenance"]) | folder)
    checksum = study_checksum({**dict(row), "provenance": provenance})
    order = "update hpo_studies set provenance = ?, checksum = ?"
    connection.execute(order, (provenance, checksum))
    for order in ("pragma wal_checkpoint(truncate)", "pragma journal_mode = delete", "vacuum"):
        connection.execute(order).fetchall()
    connection.close()


def results(database: Path) -> dict[str, object]:
    """The results of the release: every report and every pin."""
    connection = sqlite3.connect(database)
    reports = connection.execute(
        "select trial, epoch, value from hpo_events where kind = 'report' order by 1, 2"
    ).fetchall()
    pins = connection.execute("select value from hpo_events where kind = 'pin' order by seq")
    return {
        "processor": processor(),
        "pins": [json.loads(value) for (value,) in pins],
        "reports": [[trial, epoch, json.loads(value)] for trial, epoch, value in reports],
    }


if __name__ == "__main__":
    main()
