"""What the commands print, and where."""

import json
import logging
import signal

import pytest

from hpo import __version__
from hpo.api.surroundings import surroundings
from hpo.cli.options import stderr
from tests.cli.samples import FLOWERS

COMMANDS = (
    "search",
    "resume",
    "check",
    "schema",
    "list",
    "show",
    "export",
    "train",
    "data list",
    "data get",
    "data clear",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(hpo, command):
    result = hpo(*command.split(), "--help")

    assert result.code == 0
    assert f"Example: hpo {command}" in result.out


def test_every_command_is_listed_with_one_whole_line(hpo, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = hpo("--help").out

    for command in (
        "search",
        "resume",
        "check",
        "schema",
        "list",
        "show",
        "export",
        "train",
        "data",
    ):
        line = next(line for line in out.splitlines() if line.startswith(f"  {command} "))
        assert line.endswith(".")
        assert not line.endswith("...")


def test_the_version_is_printed(hpo):
    assert hpo("--version") == (0, f"hpo {__version__}\n", "")


def test_check_summarizes_what_a_spec_would_run(hpo, spec):
    result = hpo("check", str(spec), "--set", "search.trials=5")

    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("flowers is valid.\n")
    assert "trials     5\n" in result.out


def test_check_gives_json(hpo, spec):
    document = json.loads(hpo("check", str(spec), "--json").out)
    assert (document["name"], document["trials"], document["epochs"]) == ("flowers", 3, 6)


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
            "Known names: california_housing, fashion_mnist, mnist.",
        ),
    ],
)
def test_a_mistake_of_the_user_is_one_line_and_exit_code_two(hpo, spec, arguments, message):
    assert hpo(*arguments) == (2, "", f"{message}\n")


def test_a_spec_without_a_search_is_not_searched(hpo, spec):
    spec.write_text(spec.read_text().partition("search:")[0])
    result = hpo("search", str(spec))

    assert result.code == 2
    assert result.err.startswith("flowers: has no search section: add search:")


@pytest.mark.parametrize(
    "arguments",
    [("search",), ("serch",), ("show", "x", "--top", "0"), ("search", "x", "--trials", "0")],
)
def test_a_wrong_call_is_answered_with_the_usage(hpo, arguments):
    result = hpo(*arguments)

    assert result.code == 2
    assert result.err.startswith("Usage: hpo")


def test_an_error_of_ours_keeps_its_traceback(hpo, spec, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("hpo.spec.load.load_experiment", broken)
    with pytest.raises(ZeroDivisionError):
        hpo("check", str(spec))


def test_ctrl_c_before_there_is_anything_to_save_ends_with_130(hpo, spec, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("hpo.spec.load.load_experiment", interrupted)
    assert hpo("check", str(spec)) == (130, "", "")


@pytest.mark.parametrize("command", [("search",), ("train", "-o", "model")])
def test_ctrl_c_while_jax_is_imported_ends_with_130_before_anything_began(
    hpo, spec, tmp_path, monkeypatch, command
):
    def interrupted(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        return surroundings(*arguments, **options)

    monkeypatch.setattr("hpo.api.running.surroundings", interrupted)
    if command[0] == "train":
        spec.write_text(spec.read_text().partition("space:")[0])

    result = hpo(*command, str(spec))

    assert result.code == 130
    assert result.err.startswith("Stopping after this round; once more to stop at once.\n")
    assert not (tmp_path / "model").exists()


def test_data_sets_are_listed_with_the_way_to_get_them(hpo, monkeypatch, tmp_path):
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    (tmp_path / "data" / "mnist" / "x.gz").touch()
    monkeypatch.setenv("HPO_DATA", str(tmp_path / "data"))

    rows = {row["name"]: row for row in json.loads(hpo("data", "list", "--json").out)}
    lines = hpo("data", "list").out.splitlines()

    assert rows["digits"]["is_here"] is True
    assert rows["mnist"]["path"] == str(tmp_path / "data" / "mnist")
    assert rows["fashion_mnist"]["is_here"] is False
    assert any("hpo data get fashion_mnist (31 MB)" in line for line in lines)


def test_a_warning_of_a_library_is_one_line_on_stderr(capsys):
    before = logging.root.handlers[:]
    try:
        stderr()
        logging.getLogger("hpo.study").warning("the checkpoint\n%s is gone", "7-3")
        logging.getLogger("hpo.study").info("nothing")
    finally:
        logging.root.handlers[:] = before

    assert capsys.readouterr().err == "warning: the checkpoint 7-3 is gone\n"


def test_files_of_a_study_are_prepared_once_until_the_copies_are_deleted(
    hpo, tmp_path, monkeypatch
):
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    rows = "".join(f"{i},{i % 3},{i % 2}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(f"a,b,y\n{rows}")
    document = FLOWERS.replace("dataset: iris", "dataset: {csv: t.csv, target: y}")
    (tmp_path / "t.yaml").write_text(document)

    assert hpo("search", "t.yaml", "--quiet").code == 0
    assert "1 preprocessed data set, " in hpo("data", "list").out
    (tmp_path / "t.csv").chmod(0o644)
    assert hpo("search", "t.yaml", "--quiet", "--set", "name=again").code == 0
    assert "1 preprocessed data set, " in hpo("data", "list").out
    assert hpo("data", "clear").out.startswith("Deleted: 1 preprocessed data set, ")
    assert "preprocessed" not in hpo("data", "list").out
    assert hpo("data", "clear").out == "Deleted: 0 preprocessed data sets, 0.0 MB.\n"


def test_a_study_whose_every_trial_diverges_ends_and_says_so(hpo, tmp_path):
    document = FLOWERS.replace("[1.0e-3, 1.0e-1]", "[1.0e+36, 1.0e+37]")
    (tmp_path / "lost.yaml").write_text(document.replace("adam,", "sgd,"))

    searched = hpo("search", "lost.yaml", "--quiet")
    assert searched.code == 0, searched.err
    assert "  trials  3 of 3:  3 diverged" in searched.out.splitlines()
    assert "  epochs  0" in searched.out.splitlines()
    assert "epochs/s" not in searched.out
    assert "hpo export" not in searched.out
    assert "every trial has diverged" in hpo("show", "flowers").out
    assert json.loads(hpo("show", "flowers", "--json").out)["overview"]["best"] is None
    assert hpo("export", "flowers", "-o", "best.yaml") == (
        2,
        "",
        "study 'flowers': every trial has diverged (3 in all), so none can win: search a space of "
        "lower learning rates, or export any with --trial N.\n",
    )
    assert not (tmp_path / "best.yaml").exists()


def test_a_study_without_a_feasible_configuration_says_how_near_it_came(hpo, tmp_path):
    small = "constraints: [{metric: parameters, at_most: 3}]"
    (tmp_path / "small.yaml").write_text(FLOWERS.replace("  trials: 3", f"  {small}\n  trials: 3"))

    searched = hpo("search", "small.yaml", "--quiet")
    assert searched.code == 0, searched.err
    assert "  trials  3 of 3:  3 infeasible" in searched.out.splitlines()
    exported, shown = hpo("export", "flowers"), hpo("show", "flowers").out
    assert exported.code == 2
    advice = (
        "o configuration (3 tried) kept the constraints before training, and the nearest, trial 0,"
        " has 67 parameters (bound: parameters at most 3): loosen the bound or widen the space, and"
        " run `hpo search SPEC` again"
    )
    for said in (searched.out, shown, exported.err):
        assert advice in " ".join(said.split())
    assert "hpo resume" not in searched.out + shown + exported.err
    assert json.loads(hpo("show", "flowers", "--json").out)["untrained"] == {
        "trials": 3,
        "nearest": 0,
        "misses": [{"bound": "parameters at most 3", "metric": "parameters", "value": 67.0}],
    }
    # The advice holds: with another bound the study starts over.
    loosened = hpo("search", "small.yaml", "--quiet", "--set", "search.constraints=[]")
    assert "  trials  3 of 3:  3 complete" in loosened.out.splitlines()
