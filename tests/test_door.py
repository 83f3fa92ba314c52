"""The public names of `import hpo`, and the packages that it does not load."""

import importlib
import subprocess
import sys

import pytest

import hpo

NAMES = {
    "Choice",
    "DataError",
    "DeviceError",
    "Float",
    "HpoError",
    "Int",
    "SpecError",
    "Study",
    "StudyError",
    "TrainedModel",
    "bench",
    "compress",
    "export_model",
    "load",
    "objective",
    "registry",
    "report",
    "resume",
    "search",
    "studies",
    "train",
}


def modules_after(code: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after `code`, without Python's own."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path += {sys.path!r}; {code}; {show}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split()) - sys.stdlib_module_names - {"__main__"}


def test_importing_hpo_loads_nothing_but_the_standard_library():
    assert modules_after("import hpo; hpo.__version__; dir(hpo)") == {"hpo"}


def test_looking_at_a_study_loads_no_jax():
    loaded = modules_after("import hpo; hpo.Study, hpo.search, hpo.train, hpo.compress, hpo.bench")
    assert "sqlalchemy" in loaded
    assert loaded.isdisjoint({"jax", "flax", "optuna", "pandas", "sklearn"})


def test_the_public_names_are_these_and_each_is_there():
    assert set(hpo.__all__) == NAMES
    assert {getattr(hpo, name).__name__.removeprefix("hpo.") for name in NAMES} == NAMES
    assert set(dir(hpo)) >= NAMES


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'hpo' has no attribute 'serch'"):
        hpo.serch  # noqa: B018


@pytest.mark.parametrize("first", ["import hpo", "from hpo.search.auto import picked"])
def test_search_is_the_function_although_a_package_has_its_name(first):
    code = f"{first}; import hpo; a = hpo.search; from hpo.search.levels import position_of"
    modules_after(f"{code}; assert callable(a) and hpo.search is a, a")
    assert importlib.import_module("hpo.search").__path__


def test_every_public_function_says_what_it_raises():
    runs = ("bench", "compress", "export_model", "resume", "search", "train")
    for name in (*runs, "load", "studies", "Study"):
        assert "Raises:" in getattr(hpo, name).__doc__
