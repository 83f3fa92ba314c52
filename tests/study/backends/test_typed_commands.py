"""A command runs unasked only where its user has typed it."""

from dataclasses import replace

import pytest

from hpo.errors import StudyError
from hpo.spec.load import load_document
from hpo.study.backends.typed_commands import check_typed
from hpo.study.surroundings import Surroundings

DOCUMENT = {
    "name": "study",
    "command": {"run": "sh train.sh {lr}"},
    "space": {"lr": {"float": [0.0, 1.0]}},
    "search": {"objective": {"minimize": "loss"}, "trials": 3},
}


def around(url, home, **parts):
    return Surroundings(url, None, None, typed=home, **parts)


def typed(tmp_path, **parts):
    return load_document({**DOCUMENT, **parts}, tmp_path)


def stored(tmp_path, **parts):
    return replace(typed(tmp_path, **parts), is_stored=True)


def test_a_command_that_the_user_has_typed_may_be_resumed(tmp_path):
    url, home = f"sqlite:///{tmp_path}/hpo.db", tmp_path / "typed"
    check_typed(typed(tmp_path), around(url, home))
    check_typed(stored(tmp_path), around(url, home))
    more = {"objective": {"minimize": "loss"}, "trials": 5}
    check_typed(stored(tmp_path, search=more), around(url, home))


@pytest.mark.parametrize(
    "parts",
    [
        {"command": {"run": "sh other.sh {lr}"}},
        {"command": {"run": "sh train.sh {lr}", "env": {"PATH": "."}}},
        {"space": {"lr": {"choice": ["$(reboot)"]}}},
        {"name": "other"},
    ],
)
def test_a_command_that_comes_from_a_database_is_refused(tmp_path, parts):
    url, home = f"sqlite:///{tmp_path}/hpo.db", tmp_path / "typed"
    check_typed(typed(tmp_path), around(url, home))
    with pytest.raises(StudyError, match="was not typed by you on this machine: run hpo search"):
        check_typed(stored(tmp_path, **parts), around(url, home))


def test_a_database_at_another_place_is_another_one(tmp_path):
    check_typed(typed(tmp_path), around(f"sqlite:///{tmp_path}/a.db", tmp_path / "typed"))
    with pytest.raises(StudyError):
        check_typed(stored(tmp_path), around(f"sqlite:///{tmp_path}/b.db", tmp_path / "typed"))


def test_without_a_folder_of_ones_own_no_stored_command_runs(tmp_path):
    url = f"sqlite:///{tmp_path}/hpo.db"
    check_typed(typed(tmp_path), around(url, None))
    with pytest.raises(StudyError):
        check_typed(stored(tmp_path), around(url, None))


def test_a_stored_command_that_is_trusted_once_may_be_resumed(tmp_path):
    url, home = f"sqlite:///{tmp_path}/hpo.db", tmp_path / "typed"
    check_typed(stored(tmp_path), around(url, home, trusts_code=True))
    check_typed(stored(tmp_path), around(url, home))
