"""Whatever damages a database: each command says so in one line, or gives what it gave before."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.campaign.databases import Mutant, mutants, small_study
from tests.checkout import ROOT
from tests.conftest import Result

STORED = ROOT / "tests" / "stored"
READING = (
    ("list", "--json"),
    ("show", "flowers", "--json"),
    ("export", "flowers"),
    ("check-study", "flowers"),
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_study(tmp_path_factory.mktemp("stored"))


@pytest.fixture
def place(tmp_path: Path):
    """`place(content)` makes that the database of the working folder."""

    def write(content: bytes) -> None:
        for file in tmp_path.glob("hpo.db*"):
            if file.is_file():
                file.unlink()
        (tmp_path / "hpo.db").write_bytes(content)

    return write


def tried(hpo, mutant: Mutant, *arguments: str) -> Result:
    """The result of a command on a damaged database: it ends well, or with one line."""
    try:
        result: Result = hpo(*arguments)
    except Exception as error:
        raise AssertionError(f"hpo {' '.join(arguments)}: {mutant.name}") from error
    what = f"hpo {' '.join(arguments)}: {mutant.name}: {result.err}"
    assert result.code in (0, 2), what
    assert "Traceback" not in result.err, what
    # A resumed study may have told first what it continues.
    sentences = [] if arguments[0] == "resume" else result.err.splitlines()[1:]
    assert result.code == 0 or not sentences, what
    assert "\x1b" not in result.err, what
    return result


@pytest.mark.parametrize("seed", range(2))
def test_damage_is_named_in_one_line_or_changes_no_result(hpo, place, database, seed):
    place(database)
    sound = {command: hpo(*command) for command in READING}
    assert [result.code for result in sound.values()] == [0] * len(READING)
    assert all(not result.err for result in sound.values())

    refused = 0
    for mutant in mutants(database, seed, 42):
        place(mutant.content)
        found = {command: tried(hpo, mutant, *command) for command in READING}
        for command, result in found.items():
            # A study that cannot be read is left out of the list, which then says so.
            if result.code == 0 and not result.err and command[0] != "check-study":
                assert result.out == sound[command].out, f"{command}: {mutant.name}"
        others = [result for command, result in found.items() if command[0] != "check-study"]
        if any(result.code or result.err for result in others):
            refused += 1
            assert found["check-study", "flowers"].code == 2, mutant.name
    assert refused > 10


@pytest.mark.long
@pytest.mark.parametrize("release", ["0.1.0/population", "0.2.0/words"])
def test_damage_to_a_study_without_checksums_is_one_line_at_most(hpo, place, release):
    name = release.split("/")[1]
    content = gzip.decompress((STORED / f"{release}.db.gz").read_bytes())

    for mutant in mutants(content, 0, 56):
        place(mutant.content)
        for command, *arguments in READING:
            tried(hpo, mutant, command, *(name if a == "flowers" else a for a in arguments))


def test_damage_stops_a_resume_with_one_line_or_changes_none_of_its_results(hpo, place, database):
    place(database)
    assert hpo("resume", "flowers", "--quiet").code == 0
    sound = hpo("export", "flowers").out

    for mutant in mutants(database, 7, 42):
        place(mutant.content)
        result = tried(hpo, mutant, "resume", "flowers", "--quiet")
        if result.code == 0:
            assert tried(hpo, mutant, "export", "flowers").out == sound, mutant.name


def test_the_same_seed_gives_the_same_damage(database):
    assert list(mutants(database, 3, 28)) == list(mutants(database, 3, 28))
    assert list(mutants(database, 3, 28)) != list(mutants(database, 4, 28))
    assert all(mutant.content != database for mutant in mutants(database, 3, 28))
