"""The documents are true: their commands, specs, tables and links are tried."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
import yaml

import hpo as hpo_package
from docs.reference import NOTE, pages, reference_pages
from hpo.data.download import DOWNLOADS
from hpo.data.readers.images import read_images
from hpo.registry import (
    DATASETS,
    LOSSES,
    METRICS,
    MODELS,
    OPTIMIZERS,
    READERS,
    SAMPLERS,
    SCHEDULERS,
    SCHEDULES,
)
from hpo.spec.experiment import Training
from hpo.spec.file.include import packaged_folder
from hpo.spec.load import load_experiment, require_search
from hpo.spec.reference.json_schema import json_schema
from hpo.spec.schema import all_leaves
from hpo.spec.sections.goal import COSTS
from hpo.spec.sections.models.parts import Activation, Init, Norm
from tests.checkout import ROOT, files
from tests.cli.samples import commands

DOCUMENTS = [path for path in files() if path.suffix == ".md"]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
# The pages whose commands, specs and outputs are tried.
PAGES = [Path("README.md"), *(path for path in DOCUMENTS if path.parts[0] == "docs")]
TEXTS = {path: (ROOT / path).read_text() for path in PAGES}
README = TEXTS[Path("README.md")]


# Fewer trials than these pages search by themselves show the same.
TRIALS = {"from-a-file.md": 4, "folds.md": 16}

EXAMPLES = [*(ROOT / "examples").rglob("*.py")]
MODEL_FILES = {"metrics.json", "model.json", "README.md", "spec.yaml", "transforms", "weights"}
# By page, what the folder of a model lacks of them or has beside them.
OTHER_FILES = {
    "my-jax-model.md": {"code"},
    "my-training-step.md": {"model.json", "README.md", "transforms"},
}


class Block(NamedTuple):
    """A block of code on a page."""

    language: str
    text: str


def blocks(path: Path) -> list[Block]:
    """The blocks of code of a page, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", TEXTS[path], re.DOTALL | re.MULTILINE)
    return [Block(*block) for block in found]


def shell_lines(path: Path) -> list[list[str]]:
    """The shell commands of a page in order, each as its words; scripts with a name are none."""
    texts = [block.text for block in blocks(path) if block.language == "sh"]
    lines = "".join(text for text in texts if not re.match(r"# \S+\.sh\n", text)).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


CALLS = {path: [words[1:] for words in shell_lines(path) if words[0] == "hpo"] for path in PAGES}
EVERY_CALL = [words for calls in CALLS.values() for words in calls]


COMMANDS = dict(commands())


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the table of a page whose first column has this heading."""
    text = TEXTS[Path("docs") / page]
    rows = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert rows, f"docs/{page} has no table of {heading}"
    return [line.strip("|").split("|") for line in rows[1].splitlines()]


def quoted(text: str) -> set[str]:
    """The texts in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def test_the_readme_is_one_screen_and_a_tour():
    assert len(README.splitlines()) <= 120
    assert len(README.split()) <= 900


def test_the_tour_of_the_readme_starts_from_an_empty_folder_with_hpo_on_the_path():
    lines = [shlex.join(words[:2]) for words in shell_lines(Path("README.md"))]
    tour = lines[lines.index("hpo check") :]
    assert lines.index("make demo") < lines.index("source .venv/bin/activate")
    assert tour.index("hpo search") < tour.index("hpo show")


@pytest.mark.parametrize("words", EVERY_CALL, ids=shlex.join)
def test_every_command_line_of_a_page_can_be_parsed(words):
    name = next(name for name in COMMANDS if tuple(words[: len(name)]) == name)
    COMMANDS[name].make_context(" ".join(name), words[len(name) :])


def test_every_command_is_shown_at_work():
    shown = {name for name in COMMANDS for words in EVERY_CALL if tuple(words[: len(name)]) == name}
    assert shown == {*COMMANDS}


def test_every_other_command_that_a_page_shows_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for path in PAGES:
        for words in shell_lines(path):
            match words:
                case ["make", target]:
                    assert target in targets
                case [".venv/bin/python", "-m", module, *_]:
                    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
                case ["pip", "install", "."] | ["source", ".venv/bin/activate"] | ["hpo", *_]:
                    pass
                case _:
                    raise AssertionError(f"{path}: no test knows what `{shlex.join(words)}` does")
    extras = {name for text in TEXTS.values() for name in re.findall(r"'\.\[(\w+)\]'", text)}
    assert extras
    assert extras <= project["optional-dependencies"].keys()


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_every_spec_of_a_page_is_valid(path, tmp_path):
    example = next(b for b in blocks(Path("docs/writing-a-spec.md")) if b.language == "yaml")
    whole = example_spec = yaml.safe_load(example.text)
    for number, block in enumerate(blocks(path)):
        if block.language == "python" and (file := re.match(r"# (\w+\.py)\n", block.text)):
            (tmp_path / file[1]).write_text(block.text)
            assert block.text in {path.read_text() for path in EXAMPLES if path.name == file[1]}
        if block.language == "yaml":
            written = yaml.safe_load(block.text)
            # A block without a name is a part: the rest is that of the block before it, but on
            # the page of techniques, each of which stands alone.
            if path.name == "techniques.md":
                search = {**example_spec["search"], **written.get("search", {})}
                whole = {**example_spec, **written, "search": search}
            else:
                whole = written if "name" in written else {**whole, **written}
            spec = tmp_path / f"{number}.yaml"
            spec.write_text(yaml.safe_dump(whole))
            assert require_search(load_experiment(spec)).trials > 0


@pytest.mark.parametrize(
    ("page", "heading", "names"),
    [
        ("samplers.md", "sampler", SAMPLERS),
        ("schedulers.md", "scheduler", SCHEDULERS),
        ("models.md", "model", MODELS),
        ("models.md", "loss", LOSSES),
        ("models.md", "optimizer", OPTIMIZERS),
        ("models.md", "schedule", SCHEDULES),
        ("models.md", "data set", {**DATASETS, **DOWNLOADS}),
        ("formats.md", "format", READERS),
        ("goals.md", "metric", {*METRICS, *COSTS}),
    ],
)
def test_the_tables_of_the_pages_list_what_there_is(page, heading, names):
    assert set().union(*(quoted(row[0]) for row in table(page, heading))) == set(names)


def test_the_readme_names_every_sampler_scheduler_model_and_optimizer():
    assert {*SAMPLERS, *SCHEDULERS, *MODELS, *OPTIMIZERS} <= quoted(README)


@pytest.mark.parametrize("names", [Activation, Init, Norm], ids=["activation", "init", "norm"])
def test_the_page_of_models_names_every_word_for_a_layer(names):
    assert set(get_args(names)) <= quoted(TEXTS[Path("docs/models.md")])


def test_the_pages_name_every_space_to_include():
    sentence = re.search(
        r"These spaces come with `hpo`:(.*?)\. ", TEXTS[Path("docs/spaces.md")], re.S
    )
    spaces = {path.stem for path in packaged_folder("search_spaces").glob("*.yaml")}
    assert sentence
    assert quoted(sentence[1]) == spaces


def test_the_pages_and_the_code_know_the_same_environment_variables():
    def named(text: str) -> set[str]:
        return set(re.findall(r"\b(?:HPO|XDG)_[A-Z_]+\b", text))

    modules = [path for path in files() if path.parts[0] == "hpo" and path.suffix == ".py"]
    code = named("\n".join((ROOT / path).read_text() for path in modules))
    assert named(TEXTS[Path("docs/storage.md")]) == code


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_is_valid_and_is_searched(path):
    experiment = load_experiment(path)
    require_search(experiment)
    assert experiment.study.storage == "sqlite:///hpo.db"


def test_the_schema_beside_the_configs_is_current():
    cure = "run `.venv/bin/python -m hpo schema -o configs/schema.json --force`"
    assert json.loads((ROOT / "configs" / "schema.json").read_text()) == json_schema(), cure


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_begins_with_its_command_and_the_expected_result(path):
    heading = re.match(r"(#.*\n)*", path.read_text())[0]
    metric = require_search(load_experiment(path)).goal.first.metric

    assert f"hpo search configs/{path.name}" in heading
    assert re.search(rf"{metric}\D*\d", heading, re.IGNORECASE), f"no {metric} to expect"
    assert re.search(r"(\d+|a) (seconds?|minutes?|s|min|m)\b", heading), "no time to expect"


def test_the_script_beside_a_config_writes_its_images(tmp_path):
    pytest.importorskip("PIL", reason="the extra `images` is not installed")
    written = runpy.run_path(str(ROOT / "configs" / "images.py"))["write"]
    written(tmp_path / "digit_images")
    section = load_experiment(ROOT / "configs" / "images.yaml").training.data
    source = read_images(tmp_path / "digit_images", section)
    assert (source.x.shape, source.classes) == ((1797, 8, 8, 1), tuple("0123456789"))


@pytest.mark.long
@pytest.mark.optimized
@pytest.mark.parametrize("name", ["grid", "random", "bayesian", "hyperband", "bfloat16"])
def test_a_config_searched_as_shipped_gives_the_result_in_its_header(name, hpo):
    heading = (ROOT / "configs" / f"{name}.yaml").read_text()
    values, counts = r"([\d.]+)(?: to ([\d.]+))?", r"(\d+) trials (of|and) (\d+) epochs"
    expected = re.search(rf"validation (accuracy|loss) {values} after {counts}", heading)
    assert expected
    metric, low, high, trials, of, epochs = expected.groups()
    total = int(epochs) * (int(trials) if of == "of" else 1)
    # A study of random draws or a grid is the same on every run, though another processor may judge
    # one of the 360 validation rows differently. Bayesian proposals depend on when results come.
    row = 0.0028 if high is None else 0.0

    alone = ("--set", "search.baselines=false")
    result = hpo("search", f"configs/{name}.yaml", "--quiet", *alone)

    assert result.code == 0, result.err
    assert f"trials  {trials} of {trials}:" in result.out
    assert re.search(rf"epochs +{total:,}\n", result.out)
    best = re.search(rf"best {metric} +([\d.]+)", result.out)
    assert best
    assert float(low) - row <= float(best[1]) <= float(high or low) + row


@cache
def reference_paths() -> set[str]:
    """The paths of the pages that are made of the code."""
    return {f"docs/reference/{name}" for name in reference_pages()}


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_every_link_to_a_file_leads_somewhere(path):
    text = (ROOT / path).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    made = reference_paths()
    lost = [
        link
        for link in links
        if not (ROOT / path.parent / link).exists() and (path.parent / link).as_posix() not in made
    ]
    assert lost == []


def anchors(text: str) -> set[str]:
    """The anchors that the site gives the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles
    }


def test_every_link_of_the_site_leads_to_a_page_and_a_heading_of_it():
    site = pages()
    wrong = []
    for name, text in site.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            target, _, heading = link.partition("#")
            if "://" in link or (target and not target.endswith(".md")):
                continue
            parts: list[str] = []
            for part in [*Path(name).parent.parts, *Path(target or Path(name).name).parts]:
                parts = parts[:-1] if part == ".." else [*parts, part]
            page = site.get("/".join(parts))
            if page is None or (heading and heading not in anchors(page)):
                wrong.append(f"{name}: {link}")
    assert wrong == []


def test_every_page_of_the_site_is_in_its_navigation():
    nav = tomllib.loads((ROOT / "docs/zensical.toml").read_text())["project"]["nav"]

    def listed(entries):
        for entry in entries:
            for inner in entry.values():
                yield from listed(inner) if isinstance(inner, list) else [inner]

    assert sorted(listed(nav)) == sorted(pages())


def test_the_reference_has_every_command_with_its_options():
    page = reference_pages()["commands.md"]
    for name, command in COMMANDS.items():
        text = re.search(rf"^## `hpo {' '.join(name)}`\n(.*?)(?=^## |\Z)", page, re.S | re.M)
        flags = {flag for parameter in command.params for flag in parameter.opts}
        assert text, name
        assert {flag for flag in flags if flag.startswith("-")} <= set(re.split(r"[\s,]", text[1]))


def test_the_reference_has_every_field_of_a_spec():
    text = "\n".join(reference_pages().values())
    told = set(re.findall(r"^\| \[?`(\w+)`", text, re.MULTILINE))
    assert {path.rpartition(".")[2] for path, _ in all_leaves(Training)} <= told


def test_the_reference_has_every_name_of_the_package():
    page = reference_pages()["python.md"]
    assert set(hpo_package.__all__) <= set(re.findall(r"^## `hpo\.(\w+)`", page, re.MULTILINE))


def test_a_generated_page_says_that_it_is():
    assert [name for name, text in reference_pages().items() if NOTE not in text] == []


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


def test_no_file_names_a_path_of_one_machine_or_a_registry():
    # Joined here, so that this file does not contain them.
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


def opening(line: str) -> str:
    """The words of a line of output before its first figure, which differs from run to run.

    A rule is as long as the longest row below it.
    """
    return " ".join(re.split(r"[\d▁-█●·─[]", line, maxsplit=1)[0].split())


@pytest.mark.long
@pytest.mark.parametrize(
    "path",
    [
        # Most pages train one program for longer than it compiles; those of `my-` have their own.
        pytest.param(path, marks=() if path.name.startswith("my-") else pytest.mark.optimized)
        for path in PAGES
        if CALLS[path]
    ],
    ids=lambda path: path.name,
)
def test_a_page_works_word_by_word(path, tmp_path, hpo, monkeypatch):
    if path.name == "export.md":
        pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
        pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    if ["data", "clear"] in CALLS[path]:  # other tests keep their files in the cache
        monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    names: dict[str, object] = {}
    printed = ""
    before = ""
    for block in blocks(path):
        if name := re.match(r"# (\S+\.(?:yaml|py|sh))\n", block.text):
            (tmp_path / name[1]).write_text(block.text)
        elif block.language == "python":
            exec(block.text, names)
        elif block.language == "sh":
            printed = ""
            for line in block.text.splitlines():
                words = shlex.split(line, comments=True)
                # `make` and `pip` set up what this test runs in; a download needs a network.
                if not words or words[0] != "hpo" or words[1:3] == ["data", "get"]:
                    continue
                if words[1] == "serve":  # for good: tests/trained/serving starts it
                    continue
                # Only these pages show baselines, whose fits take seconds of each search: on a busy
                # machine, longer than they get by default.
                if words[1] == "search":
                    shows = path.name in ("baselines.md", "first-study.md")
                    words += ["--set", f"search.baselines={'5m' if shows else 'false'}"]
                    if path.name in TRIALS and "--trials" not in words:
                        words += ["--trials", str(TRIALS[path.name])]
                result = hpo(*words[1:])
                code = 2 if line.endswith("# refused") else 0
                assert result.code == code, f"{line}\n{result.out}{result.err}"
                printed += result.out + result.err
                if words[1] == "train":
                    folder = tmp_path / words[words.index("-o") + 1]
                    found = {inside.name for inside in folder.iterdir()}
                    assert found ^ MODEL_FILES == OTHER_FILES.get(path.name, set())
        elif block.language == "text" and before == "sh":
            real = {opening(line) for line in printed.splitlines()}
            assert [line for line in block.text.splitlines() if opening(line) not in real] == []
        before = block.language


@pytest.mark.long
@pytest.mark.optimized
def test_optuna_reads_what_hpo_has_stored(hpo, capsys):
    path = Path("docs/from-optuna.md")
    (call,) = CALLS[path]
    value = re.search(r"best accuracy +([\d.]+)", hpo(*call).out)[1]
    (snippet,) = [block.text for block in blocks(path) if block.language == "python"]

    names: dict[str, object] = {}
    exec(snippet, names)

    assert float(capsys.readouterr().out.split()[0]) == pytest.approx(float(value), abs=1e-4)
    assert len(names["study"].trials) == int(call[call.index("--trials") + 1])
