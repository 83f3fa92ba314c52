"""What a command may import before it answers."""

import subprocess
import sys

import pytest

HEAVY = ("jax", "optuna", "sqlalchemy", "sklearn", "skopt", "flax", "pandas", "numpy")
CODE = """
import sys
from hpo.cli import main
try:
    main()
finally:
    print(sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (("--help",), (*HEAVY, "pydantic")),
        (("search", "--help"), HEAVY),  # typer itself imports pydantic for a command's options
        (("check", "{spec}"), HEAVY),
    ],
)
def test_help_and_check_import_nothing_heavy(spec, arguments, heavy):
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            CODE.format(heavy=heavy),
            *(argument.format(spec=spec) for argument in arguments),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == "[]\n"


def test_listing_and_showing_studies_imports_no_jax():
    code = (
        "import sys; import hpo.report.study_report, hpo.report.tables, hpo.report.export,"
        " hpo.report.live, hpo.report.ending, hpo.report.training, hpo.report.datasets;"
        " print(sorted({'jax', 'optuna', 'sklearn'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr
