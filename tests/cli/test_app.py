"""The command line: its help, its version, and how it refuses."""

from importlib import import_module

import pytest

from hpo import __version__
from tests.cli.samples import commands

COMMANDS = [" ".join(words) for words, _ in commands()]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(hpo, command):
    result = hpo(*command.split(), "--help")

    assert result.code == 0
    assert f"Example: hpo {command}" in result.out


def test_every_command_is_listed_with_one_whole_line(hpo, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = hpo("--help").out

    for command in {command.split()[0] for command in COMMANDS}:
        line = next(line for line in out.splitlines() if line.startswith(f"  {command} "))
        assert line.endswith(".")
        assert not line.endswith("...")


def test_the_version_is_printed(hpo):
    assert hpo("--version") == (0, f"hpo {__version__}\n", "")


def test_every_mistake_of_a_spec_is_a_line_on_stderr(hpo, spec):
    spec.write_text(spec.read_text().replace("adam", "adma").replace("widths: [8]", "widths: [0]"))

    result = hpo("check", str(spec))

    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 2
    assert f"{spec}:3: model.widths" in result.err
    assert "Did you mean 'adam'?" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "no.yaml"), "no.yaml: there is no such file: check the path"),
        (("search", "no.yaml"), "no.yaml: there is no such file: check the path"),
        (
            ("search", "flowers.yaml", "--timeout", "10x"),
            "--timeout 10x: is not a duration: write 90s, 10m, 1h30m or a number of seconds.",
        ),
        (
            ("search", "flowers.yaml", "--timeout", "0"),
            "--timeout 0: cannot be 0: write 90s, 10m or 1h30m.",
        ),
        (
            ("resume", "flowers", "--timeout", "0m"),
            "--timeout 0m: cannot be 0: write 90s, 10m or 1h30m.",
        ),
        (
            ("resume", "flowers"),
            "no study database at hpo.db: run `hpo search SPEC` first or give --storage.",
        ),
        (
            ("show", "flowers"),
            "no study database at hpo.db: run `hpo search SPEC` first or give --storage.",
        ),
        (
            ("list", "--storage", "nowhere"),
            "storage: 'nowhere' is not a database URL: write one such as sqlite:///hpo.db.",
        ),
        (
            ("train", "flowers.yaml", "-o", "model"),
            "flowers: optimizer.learning_rate may vary: remove space, or use hpo search and then "
            "hpo export",
        ),
        (
            ("data", "get", "digits"),
            "no download is known for 'digits'. "
            "Known names: california_housing, etth1, fashion_mnist, mammography, mnist, "
            "pima_diabetes, sst2, tiny_shakespeare, waimai.",
        ),
    ],
)
def test_a_mistake_of_the_user_is_one_line_and_exit_code_two(hpo, spec, arguments, message):
    assert hpo(*arguments) == (2, "", f"{message}\n")


@pytest.mark.parametrize(
    "arguments",
    [("search",), ("serch",), ("show", "x", "--top", "0"), ("search", "x", "--trials", "0")],
)
def test_a_wrong_call_is_answered_with_the_usage(hpo, arguments):
    result = hpo(*arguments)

    assert result.code == 2
    assert result.err.startswith("Usage: hpo")


def test_ctrl_c_before_there_is_anything_to_save_ends_with_130(hpo, spec, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("hpo.spec.load.load_experiment", interrupted)
    assert hpo("check", str(spec)) == (130, "", "")


def test_an_error_of_ours_keeps_its_traceback_without_escapes(hpo, spec, monkeypatch):
    def broken(*_):
        raise RuntimeError("\x1b[2J")

    monkeypatch.setattr(import_module("hpo.report.check"), "check_summary", broken)
    result = hpo("check", str(spec))

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Traceback (most recent call last):\n")
    assert r"RuntimeError: \x1b[2J" in result.err
    assert "\x1b[2J" not in result.err
