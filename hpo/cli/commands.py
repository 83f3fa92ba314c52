"""The commands about scripts of a user's own: `hpo run` and `hpo logs`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from hpo.api.surroundings import default_storage
from hpo.cli.options import Overrides, Quiet, StorageUrl, StudyName, Timeout
from hpo.cli.output import print_line, print_text
from hpo.cli.running import start
from hpo.errors import HpoError

# A word of a command that is a script, after which its study is called.
_SCRIPT = re.compile(r"[\w./-]+\.\w+")


def run(
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="The command to tune.")],
    minimize: Annotated[
        str | None, typer.Option(help="The metric of which less is better.")
    ] = None,
    maximize: Annotated[
        str | None, typer.Option(help="The metric of which more is better.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Trials of the study in total.", min=1)] = 20,
    epochs: Annotated[int, typer.Option(help="Results that a full trial reports.", min=1)] = 1,
    slots: Annotated[int, typer.Option(help="Trials that run at once.", min=1)] = 1,
    timeout: Timeout = None,
    name: Annotated[
        str | None, typer.Option(help="The study's name; else that of the script.")
    ] = None,
    overrides: Overrides = None,
    storage: StorageUrl = None,
    save_spec: Annotated[
        Path | None,
        typer.Option("--save-spec", metavar="FILE", help="Write the spec that says the same."),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Start over; the old study is renamed and kept.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Tune a command in which ranges stand for values that vary.

    Example: hpo run --minimize loss --epochs 9 -- python train.py --lr '~log(1e-5, 1e-1)'
    """
    from hpo.api.asking import experiment_of
    from hpo.spec.code.command_line import read_command_line

    if (minimize is None) == (maximize is None):
        raise HpoError("hpo run: needs one of --minimize METRIC and --maximize METRIC: give one.")
    argv, space = read_command_line(words)
    objective = {"minimize": minimize} if maximize is None else {"maximize": maximize}
    document = {
        "name": name or _name(words),
        "command": {"run": argv, "slots": slots},
        "train": {"epochs": epochs},
        "space": space,
        "search": {"objective": objective, "trials": trials},
    }
    experiment = experiment_of(document, overrides or (), None, timeout)
    if save_spec is not None:
        _save(dict(experiment.document), save_spec)
    url = storage or experiment.study.storage
    start(experiment, url, None, None, new=new, explain=False, trust_code=False, is_quiet=quiet)


def logs(
    study: StudyName,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Its number; 3.1 on seed 1.")],
    storage: StorageUrl = None,
) -> None:
    """Print the output of a trial's command, and how it ended.

    Example: hpo logs script 3
    """
    from hpo.study.backends.trial_folders import TrialFolders
    from hpo.study.executors.process_group import LOG
    from hpo.study.storage.tables import Storage
    from hpo.trial import Run

    url = storage or default_storage()
    with Storage.read(url) as database:
        found = database.study(study).name
    if re.fullmatch(r"\d+(\.\d+)?", trial) is None:
        raise HpoError(f"hpo logs: {trial} is not a trial: give its number, such as 3.")
    file = TrialFolders.beside(url, found).of(Run.parse(trial)) / LOG
    try:
        if file.is_symlink() or not file.is_file():
            raise FileNotFoundError  # a link or a pipe is no log of hpo's
        text = file.read_text(errors="replace")
    except OSError:
        raise HpoError(
            f"study '{study}': trial {trial} has no log: {file} is not there. Only trials of a "
            "command that have started have one."
        ) from None
    print_text(text)


def _name(words: list[str]) -> str:
    """The name of a study of this command: that of its script, or else of its program."""
    scripts = [word for word in words if _SCRIPT.fullmatch(word)]
    return Path((scripts or words)[0]).stem


def _save(document: dict[str, Any], file: Path) -> None:
    from hpo.report.export import write_new
    from hpo.spec.file.dump import dump_spec

    if file.exists():
        raise HpoError(f"--save-spec {file}: exists: give another name, or delete it.")
    folder = os.path.relpath(Path.cwd(), file.parent.resolve())
    command = {**document["command"], **({"folder": folder} if folder != "." else {})}
    text = dump_spec({**document, "command": command}, header=f"hpo search {file.name}")
    write_new(file, text, replace=False)
    print_line(f"Wrote {file}.", is_stderr=True)
