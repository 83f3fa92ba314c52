"""Where the folders of a study's trials are, and which are deleted."""

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
