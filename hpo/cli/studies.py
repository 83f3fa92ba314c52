"""The commands that read a study: `hpo list`, `hpo show`, `hpo export`, `hpo check-study`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hpo.api.surroundings import default_storage
from hpo.cli import completion
from hpo.cli.options import (
    AsJson,
    Force,
    OutFile,
    StorageUrl,
    StudyName,
    TrustCode,
)
from hpo.cli.output import print_json, print_line, print_text, print_view, stderr
from hpo.errors import HpoError


class Listable(StrEnum):
    """What `hpo list` can list."""

    STUDIES = "studies"
    TECHNIQUES = "techniques"


def list_studies(
    what: Annotated[
        Listable, typer.Argument(help="The studies, or the techniques that a spec can name.")
    ] = Listable.STUDIES,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the studies in a storage, or all techniques.

    Of techniques, the paper is listed, and what each costs a step where it was measured.

    Example: hpo list --storage sqlite:///other/hpo.db
    """
    if what is Listable.TECHNIQUES:
        if storage is not None:
            raise HpoError("--storage: techniques are in no storage: leave it out.")
        _list_techniques(as_json)
        return
    from hpo.report import study_report as report
    from hpo.report.tables import studies_table
    from hpo.study.storage.tables import Storage

    stderr()
    with Storage.read(storage or default_storage()) as database:
        overviews = report.overviews(database)
        where, is_empty = database.where, not database.studies()
    if as_json:
        print_json([report.as_json(overview) for overview in overviews])
    elif overviews:
        print_view(studies_table(overviews))
    elif is_empty:
        print_line(f"{where} holds no studies: run `hpo search SPEC` first.", is_stderr=True)


def _list_techniques(as_json: bool) -> None:
    from hpo.report.tables import techniques_table
    from hpo.spec.reference.techniques import costs, listed_techniques

    techniques = listed_techniques()
    if as_json:
        print_json([asdict(technique) for technique in techniques])
        return
    print_view(techniques_table(techniques))
    if measured := costs().get("measured"):
        print_line(f"\nPer cent of a step, {measured}.")


def show(
    study: StudyName,
    top: Annotated[int, typer.Option(help="Number of best trials to show.", min=1)] = 10,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show how its programs are run instead.")
    ] = False,
    times: Annotated[
        bool, typer.Option("--times", help="Show where its time went instead.")
    ] = False,
    trial: Annotated[
        int | None, typer.Option(help="Show this trial instead.", min=0, metavar="N")
    ] = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show a study: best trials, learning curve, importance.

    Optuna's dashboard opens it as well:  optuna-dashboard sqlite:///hpo.db

    Example: hpo show digits --top 20
    """
    if plan:
        _show_plan(study, storage, as_json)
        return
    if times:
        _show_times(study, storage or default_storage(), as_json)
        return
    from hpo.api.study import Study
    from hpo.report.study_report import as_json as plain
    from hpo.report.tables import study_view, trial_view

    stderr()
    if trial is not None:
        one = Study(study, storage).trial(trial)
        if as_json:
            print_json(plain(one))
        else:
            print_view(trial_view(one))
        return
    found = Study(study, storage).report(top)
    if as_json:
        print_json(plain(found))
    else:
        print_view(study_view(found))


def _show_times(study: str, url: str, as_json: bool) -> None:
    from hpo.report import run_times as report
    from hpo.study.storage.tables import Storage

    with Storage.read(url) as database:
        runs = report.times_of_runs(database, study)
    if as_json:
        print_json(report.as_json(runs))
    else:
        print_view(report.times_view(study, runs))


def _show_plan(study: str, storage: str | None, as_json: bool) -> None:
    from hpo.report import plan as report
    from hpo.study.storage.tables import Storage

    stderr()
    with Storage.read(storage or default_storage()) as database:
        found = report.plan_report(database, study)
    if as_json:
        print_json(report.as_json(found))
    else:
        print_view(report.plan_view(found))


def export(
    study: StudyName,
    out: OutFile = None,
    trial: Annotated[
        int | None,
        typer.Option(help="Export this trial, finished or not, instead of the best.", min=0),
    ] = None,
    front: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write each trial of the Pareto front to a file in DIR.",
            autocompletion=completion.files,
        ),
    ] = None,
    force: Force = False,
    trust_code: TrustCode = False,
    storage: StorageUrl = None,
) -> None:
    """Write the best trial as a spec that `hpo train` runs.

    With several objectives the first decides which trial is best.

    Example: hpo export digits -o best.yaml
    """
    from hpo.api.study import Study
    from hpo.report.export import write_new
    from hpo.spec.words import count_text

    if front is not None:
        if out is not None or trial is not None:
            raise HpoError("hpo export: --front writes several files: leave --out and --trial out.")
        written = Study(study, storage).export_front(front, force=force, trust_code=trust_code)
        trials = count_text(len(written), "trial")
        print_line(f"Wrote {trials} of the Pareto front to {front}.", is_stderr=True)
        return
    exported = Study(study, storage).exported(trial, out, trust_code=trust_code)
    if out is None:
        print_text(exported.text)
    else:
        write_new(out, exported.text, replace=force)
        is_command = "command" in exported.document
        usage = "its head says how to run it" if is_command else f"hpo train {out} -o model/"
        print_line(f"Trial {exported.trial.number} is in {out}: {usage}", is_stderr=True)


def check_study(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Check database and checkpoints of a study for damage.

    Example: hpo check-study digits
    """
    from hpo.errors import DamagedError
    from hpo.report.tables import check_view
    from hpo.study.storage.tables import Storage
    from hpo.study.storage.verify import check_study as check

    stderr()
    with Storage.read(storage or default_storage()) as database:
        found = check(database, study)
    if as_json:
        print_json({**asdict(found), "is_sound": found.damage is None})
    else:
        print_view(check_view(found))
    if found.damage is not None:
        raise DamagedError(found.database, found.damage)
