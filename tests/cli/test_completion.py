"""What the Tab key offers, asked as shells ask: through the environment of the command."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from textwrap import dedent

import pytest

from hpo.study.storage.tables import Storage
from tests.cli.samples import FLOWERS
from tests.cli.test_starting import CODE, HEAVY
from tests.own_code import NET, write_net


@pytest.fixture
def bash(hpo, monkeypatch):
    """`bash(words...)`: what bash is offered for the last word, which is split as bash does it."""

    def ask(*words):
        monkeypatch.setenv("_HPO_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(["hpo", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        result = hpo()
        assert (result.code, result.err) == (0, "")
        return result.out.split()

    return ask


@pytest.fixture
def zsh(hpo, monkeypatch):
    """`zsh(line)`: what zsh is told to offer for the last word of a line."""

    def ask(line):
        monkeypatch.setenv("_HPO_COMPLETE", "complete_zsh")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"hpo {line}")
        result = hpo()
        assert (result.code, result.err) == (0, "")
        return result.out

    return ask


@pytest.fixture
def fish(hpo, monkeypatch):
    """`fish(line, action)`: what fish is told about the last word of a line."""

    def ask(line, action):
        monkeypatch.setenv("_HPO_COMPLETE", "complete_fish")
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", action)
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"hpo {line}")
        return hpo()

    return ask


@pytest.fixture
def storage(tmp_path):
    """Two studies in the default storage and one in another."""
    for file, names in (("hpo.db", ["digits", "digits-small"]), ("other.db", ["housing"])):
        with Storage.create(f"sqlite:///{tmp_path / file}") as database:
            for name in names:
                database.create_study(name, {}, 0, {}, "")


def test_commands_and_options_are_offered(bash):
    assert bash("res") == ["resume"]
    assert "--set" in bash("search", "--s")


@pytest.mark.parametrize("command", ["show", "export", "resume"])
def test_studies_of_the_default_storage_are_offered_newest_first(bash, storage, command):
    assert bash(command, "dig") == ["digits-small", "digits"]


@pytest.mark.parametrize(
    "words",
    [("--storage", "sqlite", ":", "///other.db"), ("--storage", "=", "sqlite", ":", "///other.db")],
)
def test_studies_of_the_storage_on_the_line_are_offered(bash, storage, words):
    assert bash("show", *words, "") == ["housing"]


def test_zsh_is_offered_the_same_studies(zsh, storage):
    assert zsh("show dig") == '_arguments \'*: :(("digits-small"\n"digits"))\'\n'
    assert "housing" in zsh("show --storage sqlite:///other.db ")


def test_fish_is_told_by_the_exit_code_whether_to_offer_files_instead(fish, storage):
    assert fish("show dig", "is-args") == (0, "", "")
    assert fish("show dig", "get-args").out.split() == ["digits-small", "digits"]
    assert fish("search conf", "is-args") == (1, "", "")


@pytest.mark.parametrize(
    "content", [b"this is no database" * 100, b"", b"SQLite format 3\0 and then"]
)
def test_a_broken_database_offers_nothing_and_says_nothing(bash, zsh, tmp_path, content):
    (tmp_path / "hpo.db").write_bytes(content)

    assert bash("show", "") == []
    assert zsh("show ") == "_files\n"  # zsh's own names of files


@pytest.mark.parametrize(
    "url", ["sqlite:///no.db", "sqlite:////", "postgresql://nowhere/x", "what"]
)
def test_a_storage_that_cannot_be_read_offers_nothing(bash, url):
    assert bash("show", "--storage", url, "") == []


def test_a_read_only_folder_of_a_database_in_use_offers_its_studies(tmp_path, bash, storage):
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(tmp_path / "other.db", folder / "hpo.db")
    (folder / "hpo.db").chmod(0o444)
    folder.chmod(0o555)
    try:
        assert bash("show", "--storage", f"sqlite:///{folder / 'hpo.db'}", "h") == ["housing"]
    finally:
        folder.chmod(0o755)


def test_an_error_of_ours_while_completing_is_not_shown(bash, monkeypatch):
    def broken(_):
        raise ZeroDivisionError

    monkeypatch.setattr("hpo.cli.completion.study_names", broken)
    assert bash("show", "") == []


def test_paths_of_the_spec_on_the_line_are_offered_after_set(bash, spec):
    assert bash("search", str(spec), "--set", "search.t") == ["search.trials=", "search.timeout="]


def test_a_single_path_is_offered_with_what_it_is_now(bash, spec):
    assert bash("check", str(spec), "--set", "train.epo") == ["train.epochs=2"]
    assert bash("check", str(spec), "--set", "search.cons") == ["search.constraints="]


def test_bash_is_offered_only_what_follows_the_equals_sign(bash, spec):
    path = "search.scheduler.name"
    assert bash("search", str(spec), "--set", path, "=", "p") == ["patience", "pbt"]
    assert "tpe" in bash("search", str(spec), "--set", "search.sampler.name", "=")
    assert bash("search", str(spec), "--set", "=", path, "=", "hy") == ["hyperband"]


def test_zsh_is_offered_the_whole_word(zsh, spec):
    assert zsh(f"search {spec} --set search.sampler.name=cu") == (
        "_arguments '*: :((\"search.sampler.name=curve_gp\"))'\n"
    )


def test_leaves_follow_the_names_that_the_line_sets_before(bash, spec):
    sampler = ("--set", "search.sampler.name", "=", "nsga2")
    assert bash("search", str(spec), *sampler, "--set", "search.sampler.p") == [
        "search.sampler.population="
    ]
    assert bash("search", str(spec), "--set", "search.sampler.p") == []


def test_a_leaf_that_varies_is_offered_as_its_entry_of_the_space(bash, spec):
    assert bash("search", str(spec), "--set", "optimizer.learning_rate") == []
    assert bash("search", str(spec), "--set", "space.optimizer") == [
        "space.optimizer.learning_rate.float="
    ]


def test_arguments_of_own_code_are_offered_without_running_it(bash, tmp_path):
    write_net(tmp_path, "raise SystemExit('it has run')\n" + dedent(NET))
    (tmp_path / "own.yaml").write_text(
        "name: own\ndata: {dataset: iris}\nmodel: {python: 'nets.py:Net', width: 4}\n"
        "optimizer: {name: adam}\ntrain: {epochs: 2}\n"
    )
    line = ("search", "own.yaml", "--set")
    assert bash(*line, "model.wid") == ["model.width=4"]
    assert {"model.rate=", "model.gain=", "model.scale="} <= {*bash(*line, "model.")}


def test_paths_are_offered_without_a_spec_and_for_one_that_is_broken(bash, spec):
    assert "search.sampler.name=" in bash("search", "--set", "")
    spec.write_text("name: [")
    assert bash("search", str(spec), "--set", "model.name", "=", "ml") == ["mlp"]


def test_values_of_booleans_metrics_data_sets_and_spaces_are_offered(bash, spec):
    spec.write_text(FLOWERS.replace("name: adam,", "name: sgd,"))
    line = ("search", str(spec), "--set")
    assert bash(*line, "optimizer.nesterov", "=") == ["true", "false"]
    assert "accuracy" in bash(*line, "search.objective.maximize", "=")
    assert bash(*line, "data.dataset", "=", "dig") == ["digits"]
    assert "optimizer" in bash(*line, "space.include", "=")


def test_data_sets_to_download_and_devices_are_offered(bash):
    assert bash("data", "get", "mn") == ["mnist"]
    assert bash("search", "x.yaml", "--device", "c") == ["cpu"]


@pytest.mark.parametrize("words", [("search", "conf"), ("train", "x.yaml", "-o", "mod")])
def test_names_of_files_are_left_to_the_shell(bash, words):
    assert bash(*words) == []


@pytest.mark.parametrize("line", ["show di", "search {spec} --set search.sampler.name="])
def test_completing_imports_nothing_heavy(spec, line):
    words = line.format(spec=spec)
    asked = {"_HPO_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": f"hpo {words}"}
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(heavy=HEAVY)],
        capture_output=True,
        text=True,
        env={**os.environ, **asked},
        check=True,
    )
    assert result.stderr == "[]\n"


def test_the_script_that_is_shown_completes_in_a_real_bash(spec, storage, tmp_path):
    program = tmp_path / "bin" / "hpo"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hpo "$@"\n')
    program.chmod(0o755)
    script = f"""
        source <(hpo --show-completion bash)
        COMP_WORDS=(hpo show digits-)
        COMP_CWORD=2
        _hpo_completion hpo
        echo "$COMPREPLY"
        COMP_WORDS=(hpo search {spec} --set search.sampler.name = cu)
        COMP_CWORD=6
        _hpo_completion hpo
        echo "$COMPREPLY"
    """
    result = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        },
    )
    assert (result.stdout, result.stderr) == ("digits-small\ncurve_gp\n", "")


def test_a_name_that_a_shell_would_run_is_not_offered(bash, tmp_path):
    with Storage.create(f"sqlite:///{tmp_path}/hpo.db") as storage:
        for name in ("digits", "$(reboot)", "a;reboot", "-rf", "two words", "a\x1b[2J", "a\n"):
            storage.create_study(name, {}, 0, {}, "")
    assert bash("show", "") == ["digits"]


def test_no_study_of_a_view_is_offered(bash, tmp_path):
    with closing(sqlite3.connect(tmp_path / "hpo.db")) as database:
        database.execute("CREATE VIEW hpo_studies AS SELECT 1 AS id, 'digits' AS name")
    assert bash("show", "") == []


def test_no_password_of_a_spec_is_offered(bash, tmp_path):
    url = "postgresql://me:secret@host/db"
    (tmp_path / "flowers.yaml").write_text(f"{FLOWERS}study: {{storage: '{url}'}}\n")
    offered = bash("check", "flowers.yaml", "--set", "study.storage", "=")
    assert "secret" not in " ".join(offered)
