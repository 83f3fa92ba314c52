"""Where the output of a command goes, and what happens where it cannot go there."""

import ast
import logging
import os
import shlex
import subprocess
import sys

import pytest

import hpo
from hpo.cli.output import stderr
from tests.checkout import ROOT, files

COMMAND = f"{shlex.quote(sys.executable)} -m hpo"


def shell(line, **environment):
    """What a shell gets of a line."""
    return subprocess.run(
        ["bash", "-c", line.replace("hpo ", f"{COMMAND} ", 1)],
        capture_output=True,
        env={**os.environ, **environment},
    )


def test_a_warning_of_a_library_is_one_line_on_stderr(capsys):
    before = logging.root.handlers[:]
    try:
        stderr()
        logging.getLogger("hpo.study").warning("the checkpoint\n%s is gone", "7-3")
        logging.getLogger("hpo.study").info("nothing")
    finally:
        logging.root.handlers[:] = before

    assert capsys.readouterr().err == "warning: the checkpoint 7-3 is gone\n"


@pytest.mark.long
@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            ">/dev/full",
            "stdout: cannot be written (No space left on device); the run is saved.\n",
        ),
        (">/dev/full 2>/dev/full", ""),
        (">&- 2>&-", ""),
        ("2>&1 | :; exit ${PIPESTATUS[0]}", ""),
    ],
)
def test_a_search_whose_output_is_lost_trains_to_its_end(spec, where, said):
    done = shell(f"hpo search {spec} {where}")

    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().endswith(said)
    assert hpo.Study("flowers").status == "finished"


@pytest.mark.long
@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_an_error_that_cannot_be_told_keeps_its_exit_code(spec, where):
    assert shell(f"hpo search {spec} --set search.trials=-1 {where}").returncode == 2


@pytest.mark.parametrize(
    ("where", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_a_result_that_cannot_be_written_is_an_error(where, reason):
    done = shell(f"hpo schema {where}")
    assert done.returncode == 2
    assert done.stderr.decode() == f"stdout: cannot be written ({reason}): give it another place.\n"


def test_a_reader_that_has_gone_ends_a_command_quietly():
    done = shell("hpo schema | head -1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stdout, done.stderr) == (141, b"{\n", b"")


def test_a_closed_descriptor_is_not_given_to_a_file():
    code = (
        "import os; from hpo.cli.output import open_streams; open_streams();"
        " number = os.open('file', os.O_WRONLY | os.O_CREAT); print(number, flush=True)"
    )
    done = subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} 0<&- 2>&-"],
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) > 2


@pytest.mark.parametrize(
    ("encoding", "shown"), [("latin-1", b"_#_ \xb1 ? caf\xe9\n"), ("ascii", b"_#_ ~ ? caf?\n")]
)
def test_an_encoding_shows_what_it_can(encoding, shown):
    code = (
        "from hpo.cli.output import open_streams; open_streams();"
        " print('\\u2581\\u2588\\u2581 \\xb1 \\u732b caf\\xe9')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert (done.stdout, done.stderr) == (shown, b"")


def test_a_file_on_stdout_is_utf_8_whatever_a_terminal_shows():
    code = (
        "from hpo.cli.output import open_streams, print_text; open_streams();"
        " print_text('# \u732b caf\xe9\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.stdout.decode(), done.stderr) == ("# \u732b caf\xe9\n", b"")


def test_nothing_else_prints_or_makes_a_console():
    found = set()
    for module in files():
        if module.parts[0] != "hpo" or module.suffix != ".py":
            continue
        for node in ast.walk(ast.parse((ROOT / module).read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo"):
                shows = any("visible(" in ast.unparse(argument) for argument in node.args)
                found |= set() if shows else {str(module)}
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Console":
                found.add(str(module))
    # It prints what the Tab key offers, which names alone are.
    assert found == {"hpo/cli/app.py"}
