"""The folders of a study's trials, where each is a process: log, results and checkpoint."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.trial import Run


class TrialFolders:
    """The folders of one study's trials, below `path`, which is made for the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def beside(cls, url: str, study: str) -> TrialFolders:
        """The folder `<database>.trials/<study>`; for a server, in the working directory."""
        checkpoints = CheckpointFolder.beside(url, study).path
        database = checkpoints.parent.name.removesuffix(".checkpoints")
        return cls(checkpoints.parent.with_name(f"{database}.trials") / checkpoints.name)

    def of(self, run: Run) -> Path:
        """The folder of one run of a trial."""
        return self.path / run.key

    def sweep(self, trials: int) -> None:
        """Delete the folders of trials that a study of `trials` trials does not have.

        Those are of another study of that name, or of trials whose start was never stored.
        """
        for folder in self.path.iterdir() if self.path.is_dir() else ():
            with suppress(ValueError):
                if folder.is_dir() and Run.parse(folder.name).trial >= trials:
                    shutil.rmtree(folder)

    def set_aside(self, target: Path) -> None:
        """Rename the folder as the study is renamed."""
        with suppress(FileNotFoundError):
            self.path.rename(target)
