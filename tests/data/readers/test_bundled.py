"""The data sets that scikit-learn carries."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from hpo.data.readers import bundled
from hpo.registry import DATASETS, load


@pytest.mark.parametrize("name", ["breast_cancer", "iris", "wine"])
def test_a_bundled_table_is_what_scikit_learn_loads(name):
    source, expected = getattr(bundled, f"read_{name}")(), getattr(datasets, f"load_{name}")()
    np.testing.assert_array_equal(source.x, expected.data)
    np.testing.assert_array_equal(source.y, expected.target)
    assert source.classes == tuple(expected.target_names)


def test_digits_are_the_images_that_scikit_learn_loads():
    source, expected = bundled.read_digits(), datasets.load_digits()
    np.testing.assert_array_equal(source.x[..., 0], expected.images)
    np.testing.assert_array_equal(source.y, expected.target)
    assert source.classes == tuple("0123456789")


def test_diabetes_has_its_measurements_in_their_own_units():
    source, expected = bundled.read_diabetes(), datasets.load_diabetes(scaled=False)
    np.testing.assert_array_equal(source.x, expected.data)
    np.testing.assert_array_equal(source.y, expected.target)
    assert source.classes == ()


@pytest.mark.parametrize("name", [n for n, entry in DATASETS.items() if not entry.files])
def test_a_bundled_data_set_says_whether_it_is_a_table(name):
    assert DATASETS[name].is_table == (load(DATASETS[name].function)().x.ndim == 2)


def test_digits_load_without_importing_scikit_learn_or_pandas():
    script = (
        "import sys; from pathlib import Path; from hpo.data.load import load_data;"
        "from hpo.spec.sections.data import DataSpec;"
        "load_data(DataSpec(dataset='digits'), Path(), None);"
        "print(sorted({'sklearn', 'pandas', 'scipy', 'jax'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
