"""The commands about specs: `hpo check` and `hpo schema`."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.api.surroundings import data_home
from hpo.cli.options import AsJson, Force, OutFile, Overrides, SpecPath
from hpo.cli.output import print_json, print_line, print_text
from hpo.errors import HpoError, SpecError

if TYPE_CHECKING:
    from hpo.spec.experiment import Experiment


def check(
    spec: SpecPath,
    overrides: Overrides = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also show every leaf and where its value comes from.")
    ] = False,
    trial: Annotated[
        int | None,
        typer.Option(
            help="Print the spec of this trial instead, where no result decides it.", min=0
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Validate SPEC and the head of its data; summarize it.

    Example: hpo check configs/digits.yaml --set search.trials=500
    """
    from hpo.data.head import Head, inspect_data
    from hpo.report import check as report
    from hpo.spec.file.document import Mistake
    from hpo.spec.load import load_experiment, read_document
    from hpo.spec.reference.leaves import origins
    from hpo.spec.sections.compression.teacher import teacher_mistakes
    from hpo.spec.sections.models.pretrained import folder_mistakes

    experiment = load_experiment(spec, overrides or ())
    if trial is not None:
        if full:
            raise HpoError("hpo check: --trial prints a spec, --full a table: leave one out.")
        _check_trial(experiment, trial, as_json)
        return
    section, model = (getattr(experiment.training, name, None) for name in ("data", "model"))
    data = Head()
    if section is not None:
        data = inspect_data(section, experiment.folder, data_home())
    mistakes = [Mistake(("data", *path), text) for path, text in data.mistakes]
    mistakes += folder_mistakes(model, experiment.space, experiment.folder)
    mistakes += teacher_mistakes(experiment.training, experiment.folder)
    if mistakes:
        document = read_document(spec, overrides or ())[0]
        raise SpecError(document.lines(mistakes))
    if data.task is not None:
        # It refuses losses and metrics of other tasks, as a search does once it has read the data.
        load_experiment(spec, [*(overrides or ()), f"data.dataset.task={data.task}"])
    summary = report.check_summary(experiment, data)
    rows = list(origins(read_document(spec, overrides or ())[0], spec.parent)) if full else []
    if as_json:
        leaves = [{"path": path, "value": value, "from": where} for path, value, where in rows]
        print_json(report.as_json(summary) | ({"leaves": leaves} if full else {}))
        return
    print_line(report.render(summary))
    if full:
        print_line(f"\n{report.render_origins(rows)}")


def _check_trial(experiment: Experiment, trial: int, as_json: bool) -> None:
    from hpo.report.export import export_ahead

    hparams, text = export_ahead(experiment, trial, date.today())
    if as_json:
        print_json({"trial": trial, "hparams": dict(hparams), "spec": text})
    else:
        print_text(text)


def schema(
    out: OutFile = None,
    force: Force = False,
) -> None:
    """Print the JSON Schema of a spec, for editors.

    Editors complete, explain and check a spec by it.
    An editor with a YAML language server looks for it in the first line of a spec:
    # yaml-language-server: $schema=schema.json

    Example: hpo schema -o schema.json
    """
    from hpo.report.export import write_new
    from hpo.spec.reference.json_schema import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    if out is None:
        print_text(text)
        return
    write_new(out, text, replace=force)
    line = f"# yaml-language-server: $schema={out.name}"
    print_line(f"Begin each spec beside {out} with:  {line}", is_stderr=True)
