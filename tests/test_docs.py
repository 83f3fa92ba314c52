"""What the documents say is so."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
import typer.main
import yaml

from hpo.cli.app import app
from hpo.data.download import DOWNLOADS
from hpo.registry import DATASETS, MODELS, OPTIMIZERS, SAMPLERS, SCHEDULERS, SCHEDULES
from hpo.spec.file.include import packaged_folder
from hpo.spec.load import load_experiment, require_search
from tests.checkout import ROOT, files

DOCUMENTS = [path for path in files() if path.suffix == ".md"]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The README's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def shell_lines() -> list[list[str]]:
    """The README's shell commands in order, each as its words."""
    lines = "".join(blocks("sh")).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


TOUR = [words[1:] for words in shell_lines() if words[0] == "hpo"]


def commands(group=None, prefix=()):
    """Every command of the command line: its words, and what Typer knows of it."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name), command


COMMANDS = dict(commands())


def options(command) -> set[str]:
    """The long options of a command."""
    found = {flag for parameter in command.params for flag in parameter.opts}
    return {flag for flag in found if flag.startswith("--") and flag != "--help"}


def table(heading: str) -> list[list[str]]:
    """The rows of the README's table whose first column has this heading."""
    rows = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert rows, f"the README has no table of {heading}"
    return [line.strip("|").split("|") for line in rows[1].splitlines()]


def quoted(text: str) -> set[str]:
    """What stands in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def test_every_command_is_in_the_readme_with_its_options():
    told = {}
    for row in table("command"):
        (call,) = quoted(row[0])
        words = call.split()
        name = tuple(word for word in words[1:] if word.islower() and not word.startswith("-"))
        told[name] = {option.split()[0] for option in quoted(row[1]) | set(words)}

    assert told.keys() == COMMANDS.keys()
    for name, command in COMMANDS.items():
        assert {word for word in told[name] if word.startswith("--")} == options(command), name


@pytest.mark.parametrize("words", TOUR, ids=shlex.join)
def test_every_command_line_of_the_readme_can_be_parsed(words):
    name = next(name for name in COMMANDS if tuple(words[: len(name)]) == name)
    COMMANDS[name].make_context(" ".join(name), words[len(name) :])


def test_every_command_is_shown_at_work():
    assert {name for name in COMMANDS for words in TOUR if tuple(words[: len(name)]) == name} == {
        *COMMANDS
    }


def test_everything_else_that_the_readme_tells_to_type_exists():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for words in shell_lines():
        match words:
            case ["make", target]:
                assert target in targets
            case ["pip", "install", "."] | ["hpo", *_]:
                pass
            case _:
                raise AssertionError(f"no test knows what `{shlex.join(words)}` does")
    extras = re.findall(r"pip install '\.\[(\w+)\]'", README)
    assert extras
    assert set(extras) <= project["optional-dependencies"].keys()


def test_every_spec_of_the_readme_is_valid(tmp_path):
    whole, *parts = blocks("yaml")
    for number, text in enumerate([whole, *parts]):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(whole), **yaml.safe_load(text)}))
        load_experiment(path)
    path.write_text(whole)
    assert require_search(load_experiment(path)).trials > 0


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("sampler", SAMPLERS),
        ("scheduler", SCHEDULERS),
        ("model", MODELS),
        ("optimizer", OPTIMIZERS),
        ("schedule", SCHEDULES),
        ("data set", {**DATASETS, **DOWNLOADS}),
    ],
)
def test_the_tables_of_the_readme_list_what_there_is(heading, names):
    assert set().union(*(quoted(row[0]) for row in table(heading))) == set(names)


def test_the_readme_names_every_space_to_include():
    sentence = re.search(r"Spaces to include:(.*?)\n\n", README, re.DOTALL)
    spaces = {path.stem for path in packaged_folder("search_spaces").glob("*.yaml")}
    assert sentence
    assert quoted(sentence[1]) == spaces


def test_the_readme_and_the_code_know_the_same_environment_variables():
    def named(text: str) -> set[str]:
        return set(re.findall(r"\b(?:HPO|XDG)_[A-Z_]+\b", text))

    modules = [path for path in files() if path.parts[0] == "hpo" and path.suffix == ".py"]
    assert named(README) == named("\n".join((ROOT / path).read_text() for path in modules))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_is_valid_and_is_searched(path):
    experiment = load_experiment(path)
    require_search(experiment)
    assert experiment.study.storage == "sqlite:///hpo.db"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_is_headed_by_what_to_type_and_what_to_expect(path):
    heading = re.match(r"(#.*\n)*", path.read_text())[0]
    metric = require_search(load_experiment(path)).goal.first.metric

    assert f"hpo search configs/{path.name}" in heading
    assert re.search(rf"{metric}\D*\d", heading, re.IGNORECASE), f"no {metric} to expect"
    assert re.search(r"\d+ (seconds?|minutes?|s|min|m)\b", heading), "no time to expect"


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_link_to_a_file_leads_somewhere(path):
    text = (ROOT / path).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / path.parent / link).exists()] == []


def test_every_file_that_contributing_names_exists():
    names = quoted((ROOT / "CONTRIBUTING.md").read_text())
    paths = {
        name for name in names if re.fullmatch(r"[a-z_./-]*(/|\.(py|toml|lock|md))[a-z_.]*", name)
    }
    known = {path.as_posix() for path in files()}

    def exists(name: str) -> bool:
        # A bare name is that of a file in the folder that the sentence names.
        return any(path == name or path.startswith(f"{name.rstrip('/')}/") for path in known) or (
            "/" not in name and any(path.endswith(f"/{name}") for path in known)
        )

    assert len(paths) > 15
    assert {name for name in paths if not exists(name)} == set()


def test_no_file_names_a_place_of_one_machine_or_a_registry():
    # Put together here, so that this file does not hold them.
    registries = ["py" + "pi.org", "python" + "hosted", "anaconda" + ".org", "index" + "-url"]
    places = r"(?<![\w.~])/(?:home|work|Users|root|mnt|workspace)/(?!me\b)\w"
    pattern = re.compile("|".join([*map(re.escape, registries), places]))
    wrong = []
    for path in files():
        try:
            text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue
        wrong += [f"{path}: {found[0]}" for found in pattern.finditer(text)]
    assert wrong == []


@pytest.mark.long
def test_the_tour_of_the_readme_works_word_by_word(tmp_path, hpo, monkeypatch, capsys):
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    printed = {}
    for words in TOUR:
        if words[:2] != ["data", "get"]:  # the only one that needs a network
            result = hpo(*words)
            assert result.code == 0, f"{shlex.join(words)}\n{result.out}{result.err}"
            printed[shlex.join(words)] = result.out

    (snippet,) = blocks("python")
    names = {}
    exec(snippet, names)
    best = capsys.readouterr().out
    trials = next(words[words.index("--trials") + 1] for words in TOUR if "resume" in words)
    assert len(names["study"].trials) == int(trials)
    value = re.search(r"best accuracy +([\d.]+)", printed[f"resume digits --trials {trials}"])[1]
    assert float(best.split()[0]) == pytest.approx(float(value), abs=1e-4)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "metrics.json",
        "spec.yaml",
        "weights",
    }
