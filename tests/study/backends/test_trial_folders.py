"""Where the folders of a study's trials are, and which are deleted."""

import os

import pytest

from hpo.errors import HpoError
from hpo.study.backends.trial_folders import TrialFolders
from hpo.trial import Run


def test_each_run_has_a_folder_beside_the_database(tmp_path):
    folders = TrialFolders.beside(f"sqlite:///{tmp_path}/hpo.db", "digits")
    assert folders.of(Run(3, 1)) == tmp_path / "hpo.db.trials" / "digits" / "3.1"


def test_folders_of_trials_that_the_study_does_not_have_are_deleted(tmp_path):
    folders = TrialFolders(tmp_path)
    for name in ("0", "1", "1.2", "2", "7.1", "notes"):
        (tmp_path / name / "checkpoint").mkdir(parents=True)
    folders.sweep(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "1.2", "notes"]
    TrialFolders(tmp_path / "none").sweep(0)


def test_the_folders_go_with_a_study_that_is_renamed(tmp_path):
    old, new = TrialFolders(tmp_path / "old"), TrialFolders(tmp_path / "new")
    old.set_aside(new.path)
    (tmp_path / "old" / "0").mkdir(parents=True)
    old.set_aside(new.path)
    assert (tmp_path / "new" / "0").is_dir()


def test_a_link_or_a_pipe_in_a_planted_folder_is_refused(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    folders = TrialFolders(tmp_path / "hpo.db.trials" / "digits")
    folder = folders.make(Run(0))
    for name, plant in (
        ("log.txt", lambda path: path.symlink_to(mine)),
        ("config.json", lambda path: path.symlink_to(tmp_path / "nowhere")),
        ("results.jsonl", os.mkfifo),
        ("checkpoint", lambda path: path.symlink_to(tmp_path)),
    ):
        plant(folder / name)
        with pytest.raises(HpoError, match=f"{name}: is a link or no file"):
            folders.make(Run(0))
        (folder / name).unlink()
    assert folders.make(Run(0)) == folder


def test_nothing_behind_a_link_is_deleted(tmp_path):
    (tmp_path / "mine" / "7").mkdir(parents=True)
    folders = TrialFolders(tmp_path / "hpo.db.trials" / "digits")
    folders.make(Run(0))
    (folders.path / "8").symlink_to(tmp_path / "mine")
    folders.sweep(1)
    linked = TrialFolders(tmp_path / "linked")
    linked.path.symlink_to(tmp_path / "mine")
    linked.sweep(1)
    assert (tmp_path / "mine" / "7").is_dir()
