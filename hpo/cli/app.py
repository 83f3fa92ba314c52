"""The commands of `hpo`, and how errors are reported."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Annotated

import typer

from hpo import __version__
from hpo.cli import (
    commands,
    completion,
    data,
    exports,
    init,
    models,
    output,
    predict,
    running,
    serve,
    specs,
    studies,
)
from hpo.cli.output import print_line
from hpo.errors import HpoError, SpecError
from hpo.study.signals import leave

# The exit code of a shell's commands whose reader has gone.
_BROKEN_PIPE = 128 + signal.SIGPIPE

app = typer.Typer(
    name="hpo",
    help="Tune hyperparameters for JAX: many trials train as lanes of one XLA program.",
    epilog="Start with:  hpo search configs/digits.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command()(init.init)
app.command()(running.search)
app.command()(running.resume)
app.command()(commands.run)
app.command()(commands.logs)
app.command()(specs.check)
app.command()(specs.schema)
app.command("list")(studies.list_studies)
app.command()(studies.show)
app.command()(studies.export)
app.command()(studies.check_study)
app.command()(running.train)
app.command()(running.compress)
app.command()(predict.predict)
app.command()(serve.serve)
app.command()(models.explain)
app.command()(exports.export_model)
app.command()(exports.bench)
app.command()(models.ensemble)
app.add_typer(data.app, name="data")


def run_command() -> None:
    """Run the command that the process was started with; exits with 2 for a user's mistake."""
    output.open_streams()
    if completion.ASKED in os.environ:
        text, code = completion.answer(lambda: app(prog_name="hpo"), os.environ)
        print(text, end="")
        sys.exit(code)
    leave(_exit_code())


def _exit_code() -> int:
    try:
        try:
            app(prog_name="hpo")
        except SystemExit as ended:  # Typer's way to return
            if ended.code:
                return ended.code if isinstance(ended.code, int) else 1
        output.check_written()
    except SpecError as error:
        return _refuse(error.mistakes)
    except HpoError as error:
        return _refuse([str(error)])
    except BrokenPipeError:
        return _BROKEN_PIPE
    except Exception:
        # A mistake of ours. Its text may come from a database, so Python does not print it itself.
        print_line(traceback.format_exc().rstrip(), is_stderr=True)
        return 1
    return 0


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print_line(f"hpo {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None: ...


def _refuse(lines: list[str]) -> int:
    for line in lines:
        print_line(line, is_stderr=True)
    return 2
