"""Arrow arrays as columns; test_parquet.py beside this reads columns of every type."""

import subprocess
import sys

CODE = """
import sys
sys.modules["pyarrow"] = None  # as where it is not installed
from hpo.data.readers.tables.typed.arrow import pyarrow
from hpo.errors import DataError
try: pyarrow("pyarrow.parquet")
except DataError as error: print(error)
"""


def test_without_pyarrow_a_line_says_how_to_install_it():
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert ended.stdout == (
        "Parquet and Arrow files need pyarrow, which is not installed: run "
        "`pip install 'hpo-lanes[arrow]'`.\n"
    ), ended.stderr
