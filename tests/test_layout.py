"""The layout of the project: imports, files, registries, and the wheel."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from hpo.data.download import DOWNLOADS
from hpo.engine.models.abstract import PRECISIONS
from hpo.engine.models.initialisers import INITIALISERS
from hpo.engine.models.layers import ACTIVATIONS
from hpo.registry import DATASETS, REGISTRIES, SCHEDULES, load
from hpo.spec.experiment import Training
from hpo.spec.schema import variants_of
from hpo.spec.sections.data import DataSpec, Task
from hpo.spec.sections.models.parts import Activation, Init
from hpo.spec.sections.optimizer import Sgd
from hpo.spec.sections.search import SearchSpec
from hpo.spec.sections.train import TrainSpec
from tests.checkout import ROOT, files

LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-oldest.lock"]
MODULES = [path for path in files() if path.parts[0] == "hpo" and path.suffix == ".py"]

# A part may import the parts that are listed after it; `search` and `engine` do not import each
# other.
ORDER = (
    "__main__",
    "cli",
    "api",
    "report",
    "study",
    "trained",
    "search",
    "engine",
    "data",
    "spec",
    "space",
    "distributions",
    "trial",
    "registry",
    "techniques",
    "entries",
    "own_files",
    "errors",
)
APART = {frozenset({"search", "engine"})}
# The same for the rooms of a part. Modules in the part's own folder and its rooms may import each
# other, as long as there is no circle.
ROOMS = {
    "api": ("models", "functions"),
    "data": ("overview", "new", "sequences", "readers", "transforms", "text"),
    "engine": ("pools", "programs", "training", "models"),
    "report": ("init", "insight", "models"),
    "search": ("proposals", "samplers", "schedulers", "results"),
    "spec": ("foreign", "reference", "space", "techniques", "code", "sections", "file"),
    "trained": ("serving", "exported", "explain", "ensembles", "kinds"),
    "study": ("ensembles", "backends", "baselines", "loop", "executors", "kept", "storage", "log"),
}
# Every module has a test file of its name in the mirrored folder, apart from these.
NO_TEST_FILE = {
    "hpo/__main__.py": "calls the command line; tests/cli/test_studies.py starts it",
    "hpo/data/overview/overview.py": "declares what test_look.py beside it reads",
    "hpo/data/overview/formats/sample.py": "declares what test_csv_file.py beside it reads",
    "hpo/cli/options.py": "declares options; tests/cli/test_running.py gives them",
    "hpo/entries.py": "declares fields; tests/test_registry.py fills them",
    "hpo/engine/training/targets/kind.py": "declares what each kind says, such as counts.py",
    "hpo/engine/training/task.py": "declares what tests/engine/training/test_supervised.py does",
    "hpo/search/sampler.py": "declares what tests/search/samplers/test_every_sampler.py does",
    "hpo/spec/code/own_data.py": "declares keys; tests/data/readers/test_python.py gives them",
    "hpo/spec/code/own_functions.py": "declares keys; test_own_code.py beside it gives them",
    "hpo/spec/foreign/translation.py": "declares what test_wandb.py beside it reads",
    "hpo/spec/sections/models/images.py": "declares leaves; tests/spec/test_mistakes.py gives them",
    "hpo/spec/sections/models/parts.py": "declares leaves, as `images.py` does",
    "hpo/spec/sections/optimizer.py": "declares leaves, as `images.py` does",
    "hpo/spec/sections/optimizers/adaptive.py": "declares leaves, as `images.py` does",
    "hpo/spec/sections/optimizers/layered.py": "declares leaves, as `images.py` does",
    "hpo/spec/sections/optimizers/untuned.py": "declares leaves, as `images.py` does",
    "hpo/spec/sections/optimizers/whole.py": "declares leaves, as `images.py` does",
    "hpo/study/backends/backend.py": "declares what test_lanes.py beside it makes",
    "hpo/study/executors/messages.py": "declares messages; test_conformance.py sends them",
    "hpo/study/loop/deciding.py": "declares the parts of a driver, which test_driver.py gives it",
    "hpo/study/surroundings.py": "declares paths and options; `surroundings` of hpo.api fills it",
}
# Test files about what several modules do together, or about files that are no modules.
ACROSS_MODULES = {
    "tests/campaign/test_databases.py": "what each command says of a damaged database",
    "tests/campaign/test_hostile.py": "payloads of the campaign would run a command",
    "tests/campaign/test_kills.py": "what the campaign finds in a study that was killed",
    "tests/campaign/test_promises.py": "a few attempts of each part of the campaign",
    "tests/cli/test_starting.py": "what a command imports before it answers",
    "tests/engine/models/test_every_model.py": "what holds of every model",
    "tests/engine/models/test_low_rank.py": "layers of low rank, from first weights to merging",
    "tests/data/test_storage.py": "features in a smaller type, from the spec to the arrays",
    "tests/engine/test_storage.py": "training on features in a smaller type, streamed and whole",
    "tests/data/test_large_tables.py": "large tables, from the file to the fit",
    "tests/data/readers/tables/test_own_splits.py": "files for each split, in every format",
    "tests/data/readers/test_several_targets.py": "several targets, of a table or a function",
    "tests/engine/test_every_number.py": "every number of every entry, off and on",
    "tests/engine/test_lowering.py": "every config lowers for CUDA and TPU",
    "tests/engine/test_folds.py": "folds as lanes of one program",
    "tests/study/test_fold_study.py": "a search whose trials train on folds",
    "tests/engine/test_technique_numbers.py": "all numbers of techniques in one program",
    "tests/study/test_share_study.py": "a search whose rungs are shares of the rows",
    "tests/study/test_size_study.py": "a search on images of several sizes",
    "tests/engine/test_together.py": "techniques together, by the table",
    "tests/engine/test_merged.py": "merged programs learn as separate ones do",
    "tests/engine/test_shapes.py": "arrays have the shapes of the signatures",
    "tests/report/test_leading.py": "search, show and export name the same trial",
    "tests/search/samplers/test_every_sampler.py": "what holds of every sampler",
    "tests/search/samplers/test_learning.py": "what holds of samplers that learn",
    "tests/search/schedulers/test_every_scheduler.py": "what holds of every scheduler",
    "tests/search/test_capabilities.py": "what the registry says of an entry is true",
    "tests/spec/test_any_document.py": "a document is an experiment or a list of mistakes",
    "tests/spec/test_imports.py": "reading a spec imports nothing heavy",
    "tests/spec/test_included_spaces.py": "the files in search_spaces/",
    "tests/spec/test_long_specs.py": "long and hostile specs",
    "tests/spec/test_mistakes.py": "the message of every mistake in a spec",
    "tests/study/executors/test_conformance.py": "what every executor keeps to",
    "tests/study/test_cohort_study.py": "whole studies in cohorts",
    "tests/study/test_kill.py": "studies that are killed at any moment",
    "tests/study/test_many_trials.py": "ten thousand trials",
    "tests/study/test_memory.py": "memory that runs out while lanes train",
    "tests/study/test_pbt_study.py": "whole studies with pbt",
    "tests/study/test_random_specs.py": "random specs are refused or planned",
    "tests/study/test_stored_studies.py": "studies of earlier releases",
    "tests/study/test_stopping.py": "studies stopped in start-up, while they compile, and stuck",
    "tests/study/test_what_samplers_see.py": "what a sampler is shown under each scheduler",
    "tests/study/test_winner_again.py": "an exported winner trains to its metrics",
    "tests/test_benchmarks.py": "the files in benchmarks/",
    "tests/test_compiling.py": "how tests compile",
    "tests/test_docs.py": "the files in docs/, the README and CONTRIBUTING.md",
    "tests/test_examples.py": "the folders in examples/",
    "tests/test_door.py": "hpo/__init__.py",
    "tests/test_language.py": "the words of messages and docs",
    "tests/test_layout.py": "this file",
    "tests/test_own_package.py": "a package of a user's own adds entries",
    "tests/test_search_quality.py": "searches that learn beat random ones",
}
# The field of a spec that holds the specs of a registry; data sets and metrics have none.
HELD_BY = {
    "model": (Training, "model"),
    "loss": (Training, "loss"),
    "optimizer": (Training, "optimizer"),
    "schedule": (Sgd, "schedule"),
    "sampler": (SearchSpec, "sampler"),
    "scheduler": (SearchSpec, "scheduler"),
    "reader": (DataSpec, "dataset"),
}
# The packages that a part may not import, because another part wraps them.
FOREIGN = {
    "search": {"jax", "jaxlib", "flax", "optax", "orbax"},
    "engine": {"optuna", "skopt", "sqlalchemy"},
    "data": {"jax", "jaxlib", "flax", "optax", "optuna", "skopt", "sqlalchemy"},
    "spec": {"jax", "jaxlib", "flax", "optax", "optuna", "skopt", "sqlalchemy", "numpy"},
}


def part_of(module: Path) -> str:
    """The part of `hpo` that a module belongs to: its folder, or its own name."""
    return module.parts[1].removesuffix(".py")


def imports(module: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, inside functions too: (line, dotted name)."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: write the full name of the module"
            if node.module == "hpo":
                yield from ((node.lineno, f"hpo.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, str(node.module)


def own_imports(module: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The imports of `hpo` in a file: (line, parts of the name below `hpo`)."""
    for line, name in imports(module):
        package, *rest = name.split(".")
        if package == "hpo" and rest and rest != ["__version__"]:
            yield line, tuple(rest)


def test_imports_point_along_the_arrows():
    wrong = [
        f"{module}:{line}: hpo.{own} imports hpo.{part}"
        for module in MODULES
        for line, (part, *_) in own_imports(module)
        if (own := part_of(module)) not in ("__init__", part)
        if ORDER.index(part) < ORDER.index(own) or {own, part} in APART
    ]
    assert wrong == []


def test_imports_point_along_the_arrows_within_a_part_too():
    wrong = []
    for module in MODULES:
        part, *inner = module.parts[1:]
        rooms = ROOMS.get(part, ())
        for line, (other, *rest) in own_imports(module):
            if other != part or not rest or inner[0] not in rooms or rest[0] not in rooms:
                continue
            if rooms.index(rest[0]) < rooms.index(inner[0]):
                wrong.append(f"{module}:{line}: {part}.{inner[0]} imports {part}.{rest[0]}")
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    names = {".".join(module.with_suffix("").parts).removesuffix(".__init__") for module in MODULES}
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        own = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
        # A function may import a module that imports the function's own: both are loaded by then.
        graph[own] = {name for name in at_start(module) if name in names and name != own}
    while leaves := {name for name, needs in graph.items() if not needs}:
        graph = {name: needs - leaves for name, needs in graph.items() if name not in leaves}
    assert graph == {}


def at_start(module: Path) -> Iterator[str]:
    """The modules of `hpo` that a file imports when it is loaded."""
    for node in ast.parse((ROOT / module).read_text()).body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("hpo"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            if any(
                not (ROOT / module_path(node.module, alias.name)).exists() for alias in node.names
            ):
                yield str(node.module)


def module_path(package: str, name: str) -> Path:
    return Path(*package.split("."), f"{name}.py")


def test_every_part_and_room_has_its_place_in_the_arrows():
    assert {part_of(module) for module in MODULES} == {*ORDER, "__init__"}
    found: dict[str, set[str]] = {}
    for module in MODULES:
        if len(module.parts) > 3:
            found.setdefault(module.parts[1], set()).add(module.parts[2])
    assert found == {part: set(rooms) for part, rooms in ROOMS.items()}


@pytest.mark.parametrize("part", FOREIGN)
def test_a_part_imports_no_package_that_another_part_wraps(part):
    wrong = [
        f"{module}:{line}: hpo.{part} imports {name}"
        for module in MODULES
        if part_of(module) == part
        for line, name in imports(module)
        if name.partition(".")[0] in FOREIGN[part]
    ]
    assert wrong == []


def test_a_module_is_one_idea_of_at_most_500_lines():
    lengths = {str(module): len((ROOT / module).read_text().splitlines()) for module in MODULES}
    assert {module: lines for module, lines in lengths.items() if lines > 500} == {}


def test_no_function_is_longer_than_60_lines():
    long = {
        f"{module}:{node.lineno}: {node.name}": lines
        for module in MODULES
        for node in ast.walk(ast.parse((ROOT / module).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > 60
    }
    assert long == {}


def test_a_room_holds_at_most_14_modules():
    folders = Counter(str(module.parent) for module in MODULES if module.stem != "__init__")
    assert {folder: count for folder, count in folders.items() if count > 14} == {}


def test_no_file_has_a_meaningless_name():
    vague = {"utils", "util", "helpers", "helper", "common", "base", "manager", "types", "misc"}
    assert [str(path) for path in files() if path.suffix == ".py" and path.stem in vague] == []


def test_every_folder_of_tests_mirrors_one_of_the_package():
    folders = {path.parent for path in files() if path.parts[0] == "tests" and path.suffix == ".py"}
    folders -= {Path("tests", "campaign")}  # faults of every part, tried on the whole
    rooms = {ROOT / "hpo" / Path(*folder.parts[1:]) for folder in folders}
    assert {str(room) for room in rooms if not room.is_dir()} == set()


def mirrored(module: Path) -> Path:
    """The test file of a module: `tests/spec/test_load.py` of `hpo/spec/load.py`."""
    return Path("tests", *module.parts[1:-1], f"test_{module.name}")


def test_every_module_has_a_test_file_of_its_name_in_the_mirrored_folder():
    named = [module for module in MODULES if module.stem != "__init__"]
    without = {str(module) for module in named if not (ROOT / mirrored(module)).exists()}
    assert without == NO_TEST_FILE.keys()


def test_a_test_file_is_named_after_its_module_or_says_what_it_is_about():
    expected = {mirrored(module) for module in MODULES}
    found = {path for path in files() if path.parts[0] == "tests" and path.match("test_*.py")}
    assert {str(path) for path in found - expected} == ACROSS_MODULES.keys()


def test_the_top_level_holds_these_files_and_folders():
    names = {path.parts[0] for path in files()}
    rest = {name for name in names if not re.search(r"^\.|\.md$|\.lock$|^LICENSE$", name)}
    assert rest == {
        "benchmarks",
        "configs",
        "docs",
        "examples",
        "hpo",
        "Makefile",
        "pyproject.toml",
        "search_spaces",
        "tests",
    }


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, found in REGISTRIES.items() for name in found]
)
def test_every_entry_of_a_registry_has_its_spec_and_its_functions(kind, name):
    entry = REGISTRIES[kind][name]
    field = HELD_BY.get(kind)
    assert (field is None) == (entry.spec == "")
    if field is not None:
        assert variants_of(*field).specs[name] is load(entry.spec)
    for reference in filter(None, (entry.function, entry.size, entry.files)):
        assert callable(load(reference))
    assert set(entry.tasks) <= set(get_args(Task))


@pytest.mark.parametrize(
    ("functions", "names"),
    [
        pytest.param(ACTIVATIONS, Activation, id="activations"),
        pytest.param(INITIALISERS, Init, id="initialisers"),
        pytest.param(PRECISIONS, TrainSpec.model_fields["precision"].annotation, id="precisions"),
    ],
)
def test_there_is_a_function_for_each_of_the_names_that_a_leaf_may_have(functions, names):
    assert set(functions) == set(get_args(names))


def test_every_optimizer_has_every_schedule():
    optimizers = variants_of(Training, "optimizer").specs.values()
    assert all(set(variants_of(spec, "schedule").specs) == set(SCHEDULES) for spec in optimizers)


def test_a_named_data_set_is_bundled_or_can_be_downloaded():
    assert {name for name, entry in DATASETS.items() if entry.files} <= DOWNLOADS.keys()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_version_with_hashes_and_names_no_address(name):
    text = (ROOT / name).read_text()

    assert "://" not in text
    assert set(re.findall(r"^\s*(-[\w-]+)", text, re.MULTILINE)) == {"--hash"}
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.!+]+( ;.*)? \\\n", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}$", entry), entry


def pins(name: str) -> dict[str, set[str]]:
    """The versions that a lock holds of each package, each with the Pythons it is for."""
    found = re.findall(
        r"^([\w.-]+)(?:\[.*\])?==(.*?) *\\$", (ROOT / name).read_text(), re.MULTILINE
    )
    versions: dict[str, set[str]] = {}
    for package, version in found:
        versions.setdefault(package.lower().replace("_", "-"), set()).add(version)
    return versions


def lower_bounds() -> dict[str, str]:
    """The oldest version that the project allows of each library that it needs to run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = [re.match(r"([\w.-]+)>=([\d.]+)", line) for line in project["dependencies"]]
    return {bound[1].lower().replace("_", "-"): bound[2] for bound in bounds}


def test_the_locks_agree_and_hold_every_dependency():
    runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")

    assert lower_bounds().keys() <= runtime.keys()
    assert runtime.items() <= development.items()


def test_the_oldest_lock_holds_the_oldest_version_of_every_dependency():
    oldest = pins("requirements-oldest.lock")

    def numbers(version: str) -> list[int]:
        found = [int(number) for number in version.split(".")]
        return found + [0] * (3 - len(found))

    assert {package: [numbers(v) for v in oldest[package]] for package in lower_bounds()} == {
        package: [numbers(version)] for package, version in lower_bounds().items()
    }


def test_the_locks_hold_a_jax_for_every_python():
    assert len(pins("requirements.lock")["jax"]) == 2, "JAX 0.11 and later need Python 3.12"


@pytest.mark.long
def test_the_wheel_holds_configs_and_search_spaces_and_works_from_any_folder(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    unpacked, elsewhere = tmp_path / "unpacked", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        inside = {Path(name) for name in archive.namelist()}
        archive.extractall(unpacked)

    shipped = {path for path in files() if path.parts[0] in ("configs", "search_spaces")}
    assert {Path("hpo") / path for path in shipped} <= inside
    assert set(MODULES) <= inside
    assert {path.parts[0] for path in inside if "dist-info" not in path.parts[0]} == {"hpo"}
    code = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r}); import hpo.cli; print(hpo.__file__);"
        " sys.argv = ['hpo', 'check', 'configs/digits.yaml', '--set', 'space.include=optimizer'];"
        " hpo.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=elsewhere, capture_output=True, text=True
    )
    assert done.stdout.startswith(f"{unpacked}"), done.stderr
    assert "digits is valid." in done.stdout
