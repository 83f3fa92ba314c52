"""The folders of a study's trials, where each is a process: log, results and checkpoint."""

from __future__ import annotations

import shutil
import stat
from contextlib import suppress
from pathlib import Path

from hpo.errors import HpoError
from hpo.study.executors.process_group import LOG
from hpo.study.executors.record import RESULTS
from hpo.study.executors.seat import DRAWN
from hpo.study.storage.checkpoints import CheckpointFolder
from hpo.trial import Run

REPORTED, CHECKPOINT = "reported.jsonl", "checkpoint"
# What hpo writes in the folder of a run.
_OWN = (LOG, RESULTS, DRAWN, REPORTED, CHECKPOINT, "config.json", "config.yaml")


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

    def make(self, run: Run) -> Path:
        """The folder of one run, made if it is missing.

        Raises:
            HpoError: for a link or a pipe in the place of a folder or file of hpo's own.
        """
        folder = self.of(run)
        for path in (self.path.parent, self.path, folder, *(folder / name for name in _OWN)):
            with suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                    raise HpoError(f"{path}: is a link or no file, so hpo writes nothing: move it.")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def sweep(self, trials: int) -> None:
        """Delete the folders of trials that a study of `trials` trials does not have.

        Those are of another study of that name, or of trials whose start was never stored.
        """
        is_link = self.path.is_symlink() or self.path.parent.is_symlink()
        for folder in self.path.iterdir() if self.path.is_dir() and not is_link else ():
            with suppress(ValueError):
                is_folder = folder.is_dir() and not folder.is_symlink()
                if is_folder and Run.parse(folder.name).trial >= trials:
                    shutil.rmtree(folder)

    def set_aside(self, target: Path) -> None:
        """Rename the folder as the study is renamed."""
        with suppress(FileNotFoundError):
            self.path.rename(target)
