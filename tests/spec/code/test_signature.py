"""What own code takes, as its source shows it."""

from textwrap import dedent

import pytest

from hpo.spec.code.reference import find_code
from hpo.spec.code.signature import (
    COMPUTED,
    REQUIRED,
    Signature,
    literals_of,
    methods_of,
    read_code,
    signature_of,
)


@pytest.fixture
def code(tmp_path):
    def write(source, name="Net"):
        (tmp_path / "nets.py").write_text(dedent(source))
        return find_code(f"nets.py:{name}", tmp_path)

    return write


def shown(signature: Signature):
    return [(a.name, a.annotation, a.default) for a in signature.arguments]


def test_the_arguments_of_a_constructor_come_with_annotations_and_defaults(code):
    signature = signature_of(
        code(
            """
            class Net:
                def __init__(self, inputs, width: int = 64, *, rate=0.1, act=max, rngs):
                    raise SystemExit("run")
            """
        )
    )

    assert shown(signature) == [
        ("inputs", "", REQUIRED),
        ("width", "int", 64),
        ("rate", "", 0.1),
        ("act", "", COMPUTED),
        ("rngs", "", REQUIRED),
    ]
    assert (signature.line, signature.unchecked) == (3, "")
    assert "width" in signature
    assert "height" not in signature


def test_the_fields_of_a_dataclass_or_linen_module_are_its_arguments(code):
    source = """
        class Net({base}):
            kind: ClassVar[str] = "net"
            width: int = 64
            rate: float | None = None
        """
    expected = [("width", "int", 64), ("rate", "float | None", None)]

    assert shown(signature_of(code(source.format(base="nn.Module")))) == expected
    assert shown(signature_of(code(source.format(base="eqx.Module")))) == expected
    imported = "from flax.linen import Module, compact\n" + dedent(source.format(base="Module"))
    assert shown(signature_of(code(imported))) == expected
    plain = "@dataclasses.dataclass(frozen=True)\n" + dedent(source.format(base="object")).strip()
    assert shown(signature_of(code(plain))) == expected


def test_a_constructor_may_be_that_of_a_base_class_in_the_file(code):
    source = """
        class Base:
            def __init__(self, depth=2): ...
        class Net(Base): ...
        """
    assert shown(signature_of(code(source))) == [("depth", "", 2)]


@pytest.mark.parametrize(
    ("source", "unchecked"),
    [
        ("class Net(elsewhere.Base): ...", "Net inherits its constructor from elsewhere.Base"),
        ("class Net:\n def __init__(self, **more): ...", "__init__ takes **more"),
    ],
)
def test_arguments_that_the_source_does_not_show_are_said_to_be_unchecked(code, source, unchecked):
    assert signature_of(code(source)).unchecked == unchecked


def test_a_function_is_read_like_a_constructor(code):
    signature = signature_of(code("def loss(outputs, targets, gamma=2.0): ...", "loss"))

    assert shown(signature)[2] == ("gamma", "", 2.0)


def test_the_literals_and_methods_of_a_class_are_read(code):
    source = """
        class Base:
            def evaluate(self): ...
        class Net(Base):
            steps = 100
            metrics: dict = {"loss": "minimize"}
            clock = time.time()
            def step(self): ...
        """

    assert literals_of(code(source)) == {"steps": 100, "metrics": {"loss": "minimize"}}
    assert methods_of(code(source)) == {"step", "evaluate"}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("class Other: ...\ndef f(): ...", "has no class or function Net: it defines Other, f"),
        ("x = 1", "it defines nothing"),
        ("class Net(:", r"nets\.py:1 is not Python"),
    ],
)
def test_a_file_without_the_code_is_refused(code, source, says):
    with pytest.raises(ValueError, match=says):
        signature_of(code(source))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("absent.py:Net", "there is no file"),
        ("nets.py:Absent", "has no class or function Absent"),
        (f"{'x' * 300}.py:Net", "File name too long"),
    ],
)
def test_code_that_cannot_be_read_comes_with_the_reason(tmp_path, text, says):
    (tmp_path / "nets.py").write_text("def Net(): ...\n")

    code, trouble = read_code(text, tmp_path)

    assert code is None
    assert says in trouble


def test_code_that_can_be_read_is_read_by_all_that_need_it(tmp_path):
    (tmp_path / "nets.py").write_text("def Net(): ...\n")

    code, trouble = read_code("nets.py:Net", tmp_path)
    assert code == find_code("nets.py:Net", tmp_path)
    assert trouble == ""
    assert "is a function: name a class" in read_code("nets.py:Net", tmp_path, literals_of)[1]
