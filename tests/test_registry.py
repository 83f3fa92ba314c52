"""Entries that a package of a user's own adds to the registries."""

import subprocess
import sys
from typing import get_args

import pytest

from hpo import registry
from hpo.errors import HpoError
from hpo.spec.marks import NeedsWhere
from hpo.techniques import TECHNIQUES
from tests.checkout import ROOT

PACKAGE = """
from typing import Literal
from hpo.spec.marks import Knob, Positive, Share, Spec

class Drop(Spec):
    name: Literal["drop"]
    at: Knob[Positive] = 0.5
    warmup: Knob[Share] = 0.0

class Nameless(Spec):
    at: float

class Lines(Spec):
    lines: str
"""


@pytest.fixture
def python(tmp_path):
    """Runs code in a process of its own that can import `mine`, and gives back what it prints."""
    (tmp_path / "mine.py").write_text(PACKAGE)

    def run(code: str) -> str:
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_an_entry_added_before_the_first_spec_is_read_can_be_named(python):
    printed = python("""
import hpo.cli.app, hpo.spec.load, hpo.report.check, hpo.study.run
from hpo import registry
registry.add("schedule", "drop", "mine:Drop", "mine:drop")
from hpo.spec.sections.optimizer import Sgd
spec = Sgd.model_validate({"name": "sgd", "schedule": {"name": "drop", "at": 0.25}})
print(type(spec.schedule).__name__, spec.schedule.at, "mine" in sys.modules)
""")
    assert printed == "Drop 0.25 True\n"


def test_a_package_is_imported_only_when_its_entry_is_used(python):
    printed = python("""
from hpo import registry
registry.add("metric", "auc", function="mine:auc", tasks=("classification",), direction="maximize")
print("mine" in sys.modules)
""")
    assert printed == "False\n"


def test_an_entry_that_comes_after_the_first_spec_is_refused(python):
    printed = python("""
from hpo import registry
from hpo.spec.sections.optimizer import Sgd
Sgd(name="sgd")
try:
    registry.add("schedule", "drop", "mine:Drop", "mine:drop")
except Exception as error:
    print(error)
""")
    assert printed == (
        "registry.add('schedule', 'drop'): a spec has been read already: add entries before that.\n"
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("mine:Nameless", "mine:f"), 'Nameless has no name "drop": write name: Literal["drop"].'),
        (("mine:Knob", "mine:f"), "mine:Knob: is not a spec class: derive it from hpo.spec"),
        (("mine:Drops", "mine:f"), "'mine:Drops': mine has no Drops."),
        (("yours:Drop", "mine:f"), "'yours:Drop': there is no module yours."),
    ],
)
def test_a_spec_class_that_cannot_serve_is_named_when_specs_are_read(python, entry, message):
    printed = python(f"""
from hpo import registry
from hpo.errors import HpoError
registry.add("schedule", "drop", *{entry!r})
from hpo.spec.sections.optimizer import Sgd
try:
    Sgd(name="sgd")
except HpoError as error:
    print(error)
""")
    assert message in printed


def test_a_reader_is_chosen_by_the_first_field_of_its_spec(python):
    printed = python("""
from hpo import registry
registry.add("reader", "lines", "mine:Lines", "mine:read")
from hpo.spec.sections.data import DataSpec
print(repr(DataSpec.model_validate({"dataset": {"lines": "a.txt"}}).dataset))
""")
    assert printed == "Lines(lines='a.txt')\n"


@pytest.mark.parametrize(
    ("kind", "name", "facts", "message"),
    [
        ("modle", "net", {}, "unknown kind: use one of model, loss, optimizer, "),
        ("model", "mlp", {}, "the name is taken: choose another one."),
        ("model", "net", {"spec": "mine.Net"}, "'mine.Net' names no object: write 'module:Name'."),
        ("model", "net", {"colour": 1}, "unknown field colour: use spec, function, "),
        (
            "model",
            "net",
            {"function": "mine:net"},
            "spec is missing: write spec='module:SpecClass'.",
        ),
        (
            "model",
            "net",
            {"needs": ("whole btach",)},
            "unknown need 'whole btach': use whole batch, same depth, images, numbers, statis",
        ),
        ("optimizer", "net", {"needs": ("images",)}, "unknown need 'images': use layers, start, g"),
        ("metric", "net", {"needs": ("layers",)}, "need 'layers': leave needs out of a metric."),
        ("model", "net", {"spec": "mine:Net"}, "function is missing: write function='module:funct"),
        ("metric", "net", {"direction": "maximize"}, "function is missing: write function="),
        ("dataset", "net", {"tasks": ("regression",)}, "function is missing: write function="),
    ],
)
def test_an_entry_with_a_mistake_is_refused(monkeypatch, kind, name, facts, message):
    monkeypatch.setattr(registry, "_is_read", False)
    with pytest.raises(HpoError) as error:
        registry.add(kind, name, **facts)
    assert message in str(error.value)
    assert "net" not in registry.REGISTRIES.get(kind, {})


def test_every_need_is_in_the_table_of_its_kind():
    for kind, entries in registry.REGISTRIES.items():
        known = registry.NEEDS.get(kind, {}).keys()
        for name, entry in entries.items():
            assert known >= set(entry.needs), f"{kind} {name}"
            fields = registry.load(entry.spec).model_fields.values() if entry.spec else ()
            marks = [mark for field in fields for mark in field.metadata]
            for mark in marks:
                assert not isinstance(mark, NeedsWhere) or known >= set(mark.needs), (
                    f"{kind} {name}"
                )
    listed = {need for needs in registry.NEEDS.values() for need in needs}
    assert listed == {*get_args(registry.Need)}


@pytest.mark.parametrize("need", get_args(registry.Need))
def test_every_need_is_read_by_the_code_and_told_to_contributors(need):
    sources = [path.read_text() for path in (ROOT / "hpo").rglob("*.py")]
    assert (
        any(f'"{need}" in' in source or f'"{need}" not in' in source for source in sources)
        or need in registry.NEEDS["technique"]
        or any(need in technique.excludes for technique in TECHNIQUES.values())
    )
    assert f'`"{need}"`' in (ROOT / "CONTRIBUTING.md").read_text()
