"""The commands about specs: `hpo check` and `hpo schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hpo.cli import completion
from hpo.cli.options import AsJson, Overrides, SpecPath, print_json


def check(
    spec: SpecPath,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Validate SPEC and tell what it would run.

    Example: hpo check configs/digits.yaml --set search.trials=500
    """
    from hpo.report import check as report
    from hpo.spec.load import load_experiment

    summary = report.check_summary(load_experiment(spec, overrides or ()))
    if as_json:
        print_json(report.as_json(summary))
    else:
        typer.echo(report.render(summary))


def schema(
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="File to write; else stdout.",
            autocompletion=completion.files,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Print the JSON Schema of a spec, by which editors complete and explain it.

    An editor with a YAML language server looks for it in the first line of a spec:
    # yaml-language-server: $schema=schema.json

    Example: hpo schema -o schema.json
    """
    from hpo.report.export import write_new
    from hpo.spec.reference.json_schema import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    write_new(out, text, replace=force)
    line = f"# yaml-language-server: $schema={out.name}"
    typer.echo(f"Begin each spec beside {out} with:  {line}", err=True)
