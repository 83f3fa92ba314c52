"""Reading a spec is quick, because it imports nothing heavy."""

import subprocess
import sys

HEAVY = ("jax", "optuna", "sklearn", "pandas", "skopt", "scipy", "numpy", "flax", "optax")


def test_checking_a_spec_imports_nothing_heavy():
    code = (
        "import hpo.spec.load, hpo.spec.programs, hpo.spec.file.dump, hpo.report.check, sys\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
