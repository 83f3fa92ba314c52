"""Studies of every release, stopped halfway, go on in this one: `tests/stored/VERSION/`.

Each study has its spec, its database as the release left it, and the results of the same release
when it resumed the study: reports and pins as JSON, and the exported winner.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.checkout import ROOT
from tests.conftest import Result

Hpo = Callable[..., Result]

STORED = ROOT / "tests" / "stored"
STUDIES = [
    pytest.param(
        path.parent.name, path.name.removesuffix(".db.gz"), id=f"{path.parent.name}-{name}"
    )
    for path in sorted(STORED.glob("*/*.db.gz"))
    for name in [path.name.removesuffix(".db.gz")]
]
# ASHA promotes in the order in which trials finish, so only the shared curve points are compared.
ASYNCHRONOUS = {"images"}

# The results of the releases are of optimized programs.
pytestmark = [pytest.mark.long, pytest.mark.optimized]


class Stored(NamedTuple):
    """A study of an earlier release in a folder, and the results of that release."""

    name: str
    folder: Path
    expected: dict[str, Any]
    is_same_machine: bool

    def rows(self, query: str) -> list[Any]:
        connection = sqlite3.connect(self.folder / "hpo.db")
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def reports(self) -> dict[tuple[int, int], dict[str, float]]:
        rows = self.rows("select trial, epoch, value from hpo_events where kind = 'report'")
        return {(trial, epoch): json.loads(value) for trial, epoch, value in rows}

    def values(self, kind: str) -> list[Any]:
        rows = self.rows(f"select value from hpo_events where kind = '{kind}' order by seq")
        return [json.loads(value) for (value,) in rows]


def processor() -> str:
    """The processor by its model and what it can do; empty where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = " ".join(sorted(said.get("flags", "").split()))
    return f"{said.get('model name', '')} {hashlib.sha256(flags.encode()).hexdigest()[:8]}"


@pytest.fixture
def stored(release: str, name: str, tmp_path: Path) -> Stored:
    source = STORED / release
    (tmp_path / "hpo.db").write_bytes(gzip.decompress((source / f"{name}.db.gz").read_bytes()))
    checkpoints = source / f"{name}.db.checkpoints"
    if checkpoints.is_dir():
        shutil.copytree(checkpoints, tmp_path / "hpo.db.checkpoints")
    expected = json.loads((source / f"{name}.json").read_text())
    study = Stored(name, tmp_path, expected, False)
    ((text,),) = study.rows("select provenance from hpo_studies")
    libraries = {"jax", "jaxlib", "flax", "optax", "numpy"}
    versions = {k: v for k, v in json.loads(text)["versions"].items() if k in libraries}
    here = {library: version(library) for library in libraries}
    return study._replace(is_same_machine=expected["processor"] == processor() and versions == here)


@pytest.mark.parametrize(("release", "name"), STUDIES)
def test_a_study_of_an_earlier_release_resumes_to_the_same_results(
    stored: Stored, hpo: Hpo
) -> None:
    known, ends, pins = stored.reports(), stored.values("end"), stored.values("pin")

    resumed = hpo("resume", stored.name)

    assert resumed.code == 0, resumed.err
    if stored.is_same_machine:
        assert "from the stored results" not in resumed.err
    found = stored.reports()
    assert {place: found[place] for place in known} == known
    assert stored.values("end")[: len(ends)] == ends
    assert stored.values("pin") == pins, "a pin is found by the label that its release computed"
    expected = {(trial, epoch): values for trial, epoch, values in stored.expected["reports"]}
    if stored.is_same_machine:
        shared = expected.keys() & found.keys()
        assert {place: found[place] for place in shared} == {p: expected[p] for p in shared}
        assert stored.name in ASYNCHRONOUS or found.keys() == expected.keys()
    else:
        for place in expected.keys() & found.keys():
            assert found[place]["loss"] == pytest.approx(expected[place]["loss"], rel=1e-4)


@pytest.mark.parametrize(("release", "name"), STUDIES)
def test_a_winner_exported_by_an_earlier_release_trains_to_its_curve(
    stored: Stored, release: str, hpo: Hpo
) -> None:
    spec = STORED / release / f"{stored.name}-best.yaml"
    trial = int(spec.read_text().split()[2])

    trained = hpo("train", str(spec), "-o", "model")

    assert trained.code == 0, trained.err
    document = json.loads((stored.folder / "model" / "metrics.json").read_text())
    curve = {point.pop("epoch"): point for point in document["curve"]}
    expected = {epoch: v for number, epoch, v in stored.expected["reports"] if number == trial}
    # A winner of a population has the weights of other trials in its first epochs.
    first = max(expected) if "changes:\n" in spec.read_text() else 1
    for epoch in range(first, max(expected) + 1):
        found, values = dict(curve[epoch]), dict(expected[epoch])
        # 0.1.0 itself gave training losses that differ in the last bit from those of its studies.
        assert found.pop("train_loss") == pytest.approx(values.pop("train_loss"), rel=1e-4)
        if stored.is_same_machine:
            assert found == values
        else:
            assert found["loss"] == pytest.approx(values["loss"], rel=1e-4)


@pytest.mark.parametrize(("release", "name"), STUDIES)
def test_a_study_of_an_earlier_release_is_shown_and_exported(
    stored: Stored, release: str, hpo: Hpo
) -> None:
    shown = hpo("show", stored.name, "--json")
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["overview"]["trials_total"] == len(stored.values("propose"))
    assert stored.name in hpo("list").out

    assert hpo("resume", stored.name).code == 0
    assert hpo("export", stored.name, "-o", "best.yaml").code == 0
    if stored.is_same_machine and stored.name not in ASYNCHRONOUS:
        old = (STORED / release / f"{stored.name}-best.yaml").read_text()
        trial = old.split()[2]
        assert (stored.folder / "best.yaml").read_text().split()[2] == trial


@pytest.mark.parametrize(("release", "name"), [("0.2.0", "words")])
@pytest.mark.parametrize(("seq", "pin"), [(2, '"programs": 1.0'), (64, '"form": "map"')])
def test_a_bad_pin_in_a_log_without_checksums_is_damage(
    stored: Stored, hpo: Hpo, seq: int, pin: str
) -> None:
    with closing(sqlite3.connect(stored.folder / "hpo.db")) as database, database:
        changed = (
            "update hpo_events set value = replace(value, ?, ?) where seq = ? and kind = 'pin'"
        )
        (word,) = pin.split('"')[1:2]
        assert database.execute(changed, (pin, f'"{word}": []', seq)).rowcount == 1

    for command in (["resume", stored.name], ["show", stored.name, "--plan"]):
        refused = hpo(*command)
        assert refused.code == 2
        assert refused.err.startswith(f"hpo.db is damaged (hpo_events, event {seq}: ")
        assert len(refused.err.splitlines()) == 1


LATER_MLP = """
from hpo import registry
from hpo.spec.marks import Count, Host, Knob, Positive, Share, Static
from hpo.spec.sections.models import tables

class Mlp(tables.Mlp):
    later_number: Knob[Positive] = 0.01
    later_zero: Knob[Share] = 0.0
    later_size: Static[Count] = 1
    later_host: Host[Positive] = 1.0

registry.MODELS["mlp"] = registry.Entry(
    f"{__name__}:Mlp", registry.MODELS["mlp"].function, size=registry.MODELS["mlp"].size
)
"""


def test_a_study_goes_on_after_a_release_has_added_fields(tmp_path: Path) -> None:
    source = STORED / "0.1.0"
    study = Stored("mixed", tmp_path, {}, False)
    (tmp_path / "hpo.db").write_bytes(gzip.decompress((source / "mixed.db.gz").read_bytes()))
    (tmp_path / "later.py").write_text(LATER_MLP)
    known, pins = study.reports(), study.values("pin")
    code = (
        "import later, sys; import hpo.cli; sys.argv = ['hpo', 'resume', 'mixed']; hpo.cli.main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert study.values("pin") == pins
    found = study.reports()
    assert {place: found[place] for place in known} == known
    assert len(found) > len(known)
