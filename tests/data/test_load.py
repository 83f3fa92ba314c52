"""From a spec to a data set."""

from pathlib import Path

import numpy as np
import pytest

from hpo.data.load import BUNDLED, FOLDERS, load_data
from hpo.data.readers.idx import TEST_FILES, TRAIN_FILES
from hpo.errors import DataError
from hpo.spec.sections.data import NAMED_DATASETS, CsvFile, DataSpec, IdxFolder

IMAGES = np.arange(6 * 3 * 2, dtype=np.uint8).reshape(6, 3, 2)
LABELS = [7, 3, 7, 3, 9, 9]
REAL_DATA = Path(__file__).parents[3] / "shared" / "data"


def load(dataset, folder=Path(), home=None, *, batch_size=1, **data):
    return load_data(DataSpec(dataset=dataset, batch_size=batch_size, **data), folder, home)


def write_csv(path, rows, header="a,y"):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


@pytest.fixture
def table(tmp_path):
    """A spec of a table of 40 rows: two classes, and a feature that grows."""
    write_csv(tmp_path / "t.csv", [(row, "no" if row % 4 else "yes") for row in range(40)])
    return CsvFile(csv="t.csv", target="y")


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_every_bundled_set_loads_split_and_finite(name):
    data = load(name, batch_size=64)
    assert data.task == NAMED_DATASETS[name]
    assert data.outputs == (len(data.classes) or 1)
    assert data.test is not None
    for split in (data.train, data.validation, data.test):
        assert split.x.dtype == np.float32
        assert split.y.dtype == (np.int32 if data.classes else np.float32)
        assert len(split.x) == len(split.y) == len(split)
        assert np.isfinite(split.x).all()
    np.testing.assert_allclose(data.train.x.mean(dtype=np.float64), 0, atol=1e-6)


def test_every_named_set_of_a_spec_has_a_reader():
    assert {*BUNDLED, *FOLDERS} == set(NAMED_DATASETS)


def test_the_same_spec_gives_the_same_data_set():
    one, other = load("iris"), load("iris")
    assert one.fingerprint == other.fingerprint
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one, name).x, getattr(other, name).x)
        np.testing.assert_array_equal(getattr(one, name).y, getattr(other, name).y)


@pytest.mark.parametrize(
    "change",
    [{"split_seed": 1}, {"validation": 0.3}, {"test": 0}, {"rows": 100}, {"normalize": "none"}],
)
def test_the_fingerprint_tells_other_splits_and_scales_apart(change):
    assert load("iris").fingerprint != load("iris", **change).fingerprint


def test_the_fingerprint_does_not_depend_on_the_batch_size():
    assert load("iris").fingerprint == load("iris", batch_size=8).fingerprint


def test_one_changed_cell_changes_the_fingerprint(tmp_path, table):
    before = load(table, tmp_path).fingerprint
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.replace("17,no", "17.5,no"))
    assert load(table, tmp_path).fingerprint != before


def test_a_regression_target_is_standardised_by_the_training_split():
    data = load("diabetes")
    np.testing.assert_allclose([data.train.y.mean(), data.train.y.std()], [0, 1], atol=1e-5)
    everything = np.concatenate([data.train.y, data.validation.y, data.test.y])
    restored = everything * data.target_std + data.target_mean
    np.testing.assert_allclose(np.sort(restored), np.sort(BUNDLED["diabetes"]().y), rtol=1e-5)


def test_an_outlier_in_a_validation_row_leaves_the_training_rows_as_they_were(tmp_path):
    rows = [(row, row * 1.5) for row in range(30)]
    spec = CsvFile(csv="t.csv", target="y")
    write_csv(tmp_path / "t.csv", rows)
    calm = load(spec, tmp_path)
    # The target gives away which row this is.
    victim = round(float(calm.validation.y[0] * calm.target_std + calm.target_mean) / 1.5)
    rows[victim] = (1e6, -1e6)
    write_csv(tmp_path / "t.csv", rows)
    wild = load(spec, tmp_path)
    assert wild.validation.x.max() > 1e4
    np.testing.assert_array_equal(wild.train.x, calm.train.x)
    np.testing.assert_array_equal(wild.train.y, calm.train.y)
    assert (wild.target_mean, wild.target_std) == (calm.target_mean, calm.target_std)


def test_a_training_target_that_is_constant_stays_finite(tmp_path):
    write_csv(tmp_path / "t.csv", [(row, 2.5 if row else 3.5) for row in range(9)])
    for seed in range(9):
        data = load(CsvFile(csv="t.csv", target="y"), tmp_path, split_seed=seed, test=0)
        assert np.isfinite(data.train.y).all()
        assert data.target_std > 0


def test_classes_keep_their_shares_and_names(tmp_path, table):
    data = load(table, tmp_path)
    assert data.classes == ("no", "yes")
    assert [np.bincount(s.y).tolist() for s in (data.train, data.validation, data.test)] == [
        [18, 6],
        [6, 2],
        [6, 2],
    ]


def test_a_file_beside_the_spec_goes_before_one_at_home(tmp_path, table):
    home, folder = tmp_path / "home", tmp_path / "spec"
    home.mkdir()
    folder.mkdir()
    (tmp_path / "t.csv").rename(home / "t.csv")
    assert load(table, folder, home).train.x.shape == (24, 1)
    write_csv(folder / "t.csv", [(row, row % 2) for row in range(10)])
    assert load(table, folder, home).train.x.shape == (6, 1)


def test_an_absolute_path_is_taken_as_it_is(tmp_path, table):
    path = str(tmp_path / "t.csv")
    assert len(load(CsvFile(csv=path, target="y"), Path("elsewhere")).train) == 24


@pytest.fixture
def images(tmp_path, write_set):
    """A folder of 24 training images of 3 classes."""
    write_set(tmp_path / "shapes", TRAIN_FILES, np.tile(IMAGES, (4, 1, 1)), LABELS * 4)
    return IdxFolder(idx="shapes")


def test_a_set_with_test_files_is_tested_on_all_of_them(tmp_path, images, write_set):
    write_set(tmp_path / "shapes", TEST_FILES, IMAGES[:5], LABELS[:5])
    data = load(images, tmp_path, rows=12, validation=0.25)
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 3, 5)
    np.testing.assert_array_equal(data.test.y, [1, 0, 1, 0, 2])
    assert data.test.x.shape == (5, 3, 2, 1)


def test_a_set_without_test_files_is_tested_on_a_fifth(tmp_path, images):
    data = load(images, tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (14, 5, 5)


def test_no_test_split_needs_no_test_files(tmp_path, images, write_set):
    write_set(tmp_path / "shapes", TEST_FILES, IMAGES[:5], LABELS[:5])
    (tmp_path / "shapes" / "t10k-images-idx3-ubyte.gz").write_bytes(b"broken")
    assert load(images, tmp_path, test=0).test is None


def test_a_named_folder_is_read_from_home(tmp_path, images, write_set):
    (tmp_path / "shapes").rename(tmp_path / "mnist")
    write_set(tmp_path / "mnist", TEST_FILES, IMAGES, LABELS)
    assert load("mnist", home=tmp_path).classes == ("3", "7", "9")


@pytest.mark.parametrize(
    ("dataset", "data", "message"),
    [
        ("digit", {}, "data.dataset: unknown name 'digit'. Did you mean 'digits'? Known names: br"),
        ("mnist", {}, "run `hpo data get mnist`, or set HPO_DATA to the folder that holds mnist/."),
        (CsvFile(csv="no.csv", target="y"), {}, "data.dataset.csv: there is no file 'no.csv' in "),
        (IdxFolder(idx="no"), {}, "data.dataset.idx: there is no folder 'no' in "),
        ("iris", {"batch_size": 512}, "data.batch_size: 512 is larger than the 90 training rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("has_home", [False, True])
def test_data_that_are_not_there_are_refused_with_the_cure(
    tmp_path, dataset, data, message, has_home
):
    with pytest.raises(DataError) as error:
        load(dataset, tmp_path, tmp_path / "home" if has_home else None, **data)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_named_set_without_its_test_files_is_refused(tmp_path, images):
    (tmp_path / "shapes").rename(tmp_path / "mnist")
    with pytest.raises(DataError, match=r"no file t10k-images-idx3-ubyte\.gz .*hpo data get mnist"):
        load("mnist", home=tmp_path)


def test_a_class_with_a_single_row_is_named(tmp_path):
    write_csv(tmp_path / "t.csv", [(1, "a"), (2, "a"), (3, "a"), (4, "b")])
    with pytest.raises(DataError, match=r"t\.csv: target 'y': class 'b' has a single row"):
        load(CsvFile(csv="t.csv", target="y"), tmp_path)


@pytest.mark.skipif(not (REAL_DATA / "fashion_mnist").is_dir(), reason="needs Fashion-MNIST")
def test_fashion_mnist_loads_whole_with_its_published_statistics():
    data = load("fashion_mnist", home=REAL_DATA, normalize="none")
    assert (len(data.train), len(data.validation), len(data.test)) == (48000, 12000, 10000)
    everything = np.concatenate([data.train.x, data.validation.x])
    np.testing.assert_allclose(everything.mean(dtype=np.float64) / 255, 0.2860, atol=1e-4)
    np.testing.assert_array_equal(np.bincount(data.train.y), 4800)


@pytest.mark.skipif(not (REAL_DATA / "california_housing").is_dir(), reason="needs the housing set")
def test_california_housing_loads_with_its_empty_cells_and_text_column():
    data = load(
        CsvFile(csv="california_housing/housing.csv.gz", target="median_house_value"),
        home=REAL_DATA,
    )
    assert data.task == "regression"
    assert data.train.x.shape == (12384, 8 + 5)
    np.testing.assert_array_equal(data.train.x[:, 8:].sum(axis=1), 1)
