"""Loads the data set of a spec."""

from pathlib import Path

import numpy as np
import pytest

from hpo.data.cache import DataCache
from hpo.data.load import check_batch_size, load_data
from hpo.data.readers.bundled import read_diabetes, read_digits
from hpo.data.readers.idx import TEST_FILES, TRAIN_FILES
from hpo.errors import DataError
from hpo.registry import DATASETS
from hpo.spec.sections.columns import Columns
from hpo.spec.sections.data import CsvFile, DataSpec, DropRows, IdxFolder, NpzFile
from hpo.spec.sections.split import ColumnSplit, GroupSplit, TimeSplit

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


@pytest.mark.parametrize(
    "name", sorted(name for name, entry in DATASETS.items() if not entry.files)
)
def test_every_bundled_set_loads_split_and_finite(name):
    data = load(name, batch_size=64)
    assert (data.task,) == DATASETS[name].tasks
    assert data.outputs == (len(data.classes) or 1)
    assert data.test is not None
    for split in (data.train, data.validation, data.test):
        assert split.x.dtype == np.float32
        assert split.y.dtype == (np.int32 if data.classes else np.float32)
        assert len(split.x) == len(split.y) == len(split)
        assert np.isfinite(split.x).all()
    np.testing.assert_allclose(data.train.x.mean(dtype=np.float64), 0, atol=1e-6)


def test_the_same_spec_gives_the_same_data_set():
    one, other = load("iris"), load("iris")
    assert one.fingerprint == other.fingerprint
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one, name).x, getattr(other, name).x)
        np.testing.assert_array_equal(getattr(one, name).y, getattr(other, name).y)


@pytest.mark.parametrize(
    "change",
    [
        {"split_seed": 1},
        {"validation": 0.3},
        {"test": 0},
        {"rows": 100},
        {"normalize": "none"},
        {"normalize": "minmax", "range": (-1.0, 1.0)},
    ],
)
def test_other_splits_and_scales_have_other_fingerprints(change):
    assert load("iris").fingerprint != load("iris", **change).fingerprint


def test_the_range_changes_the_fingerprint_with_minmax_alone():
    fingerprint = load("iris", normalize="minmax").fingerprint
    assert load("iris", normalize="minmax", range=(0.0, 1.0)).fingerprint == fingerprint
    assert load("iris", normalize="minmax", range=(0.0, 2.0)).fingerprint != fingerprint
    assert load("iris", range=(0.0, 2.0)).fingerprint == load("iris").fingerprint


def test_a_range_reaches_the_features_of_every_split():
    data, unit = (load("iris", normalize="minmax", **ends) for ends in ({"range": (-1.0, 1.0)}, {}))
    for split, other in zip((data.train, data.test), (unit.train, unit.test), strict=True):
        np.testing.assert_allclose(split.x, 2 * other.x - 1, atol=1e-6)


def test_the_fingerprint_does_not_depend_on_the_batch_size():
    assert load("iris").fingerprint == load("iris", batch_size=8).fingerprint


def test_one_changed_cell_changes_the_fingerprint(tmp_path, table):
    before = load(table, tmp_path).fingerprint
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.replace("17,no", "17.5,no"))
    assert load(table, tmp_path).fingerprint != before


@pytest.mark.parametrize(
    ("dataset", "normalize", "fingerprint"),
    [
        ("iris", "standard", "4a0ebebb4d7de7e8a5d1d3a089f92b99d46f952ae31598702d3729dc7c637d35"),
        ("iris", "minmax", "0bbfeb3e5c29a45a3b8bb5d2d90733a2ec641cae9d23bb073cd38cfd795f3ba1"),
        (
            "diabetes",
            "standard",
            "5a77b621cc2b78e64cbfba5a0325036651d6932ff7ec3d631491d1a8a9ab3166",
        ),
        ("digits", "standard", "ba7ef1e5977700c6de9af7638349cbc8815cdd3e22d9ef6c1cb706277e643a9b"),
        ("table", "standard", "2d917abfb0439859238f7da00b69d636a1d6a7cde473e7ea67525537cd180044"),
        ("table", "minmax", "95603b4442c204edd1c5b32cb56dde19e9f98077223a72c2a9975e501915ce6f"),
    ],
)
def test_the_fingerprint_is_that_of_release_0_1_0(tmp_path, dataset, normalize, fingerprint):
    if dataset == "table":
        rows = [(i if i % 7 else "", "ab"[i % 2], i % 2) for i in range(40)]
        write_csv(tmp_path / "t.csv", rows, header="x,word,y")
        dataset = CsvFile(csv="t.csv", target="y")
    assert load(dataset, tmp_path, normalize=normalize).fingerprint == fingerprint


def weighted(folder, weights, **data):
    """The data set of a table whose feature is the number of the row."""
    rows = [(row, weight, row * 1.5) for row, weight in enumerate(weights)]
    write_csv(folder / "t.csv", rows, header="a,w,y")
    dataset = CsvFile(csv="t.csv", target="y", weight="w")
    return load(dataset, folder, **{"normalize": "none", **data})


def test_weights_have_a_mean_of_1_over_the_training_rows(tmp_path):
    data = weighted(tmp_path, [row % 4 for row in range(40)])
    mean = (data.train.x[:, 0] % 4).mean()
    for split in (data.train, data.validation, data.test):
        assert split.arrays["weight"].dtype == np.float32
        np.testing.assert_allclose(split.arrays["weight"], split.x[:, 0] % 4 / mean, rtol=1e-6)
    np.testing.assert_allclose(data.train.arrays["weight"].mean(), 1, rtol=1e-6)


@pytest.mark.parametrize("weight", [1, 3, 0.1, 1e-30, 1e30])
def test_equal_weights_are_1_whatever_their_unit(tmp_path, weight):
    data = weighted(tmp_path, [weight] * 40)
    for split in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(split.arrays["weight"], 1)


def test_without_the_column_there_is_no_array_of_weights(tmp_path, table):
    data = load(table, tmp_path)
    assert set(data.train.arrays) == set(data.validation.arrays) == {"x", "y"}


def test_a_changed_weight_changes_the_fingerprint(tmp_path):
    weights = [row % 4 for row in range(40)]
    before = weighted(tmp_path, weights).fingerprint
    assert weighted(tmp_path, [*weights[:-1], 9]).fingerprint != before


def test_a_split_without_weight_is_refused(tmp_path):
    rows = weighted(tmp_path, [1] * 40).validation.x[:, 0]
    with pytest.raises(DataError, match=r"every weight in the validation split is 0: correct"):
        weighted(tmp_path, [int(row not in rows) for row in range(40)])


@pytest.mark.parametrize("weights", [(1e-30, 1e30), (1e30, 1e-30)])
def test_weights_that_leave_float32_beside_the_training_rows_are_refused(tmp_path, weights):
    rows = weighted(tmp_path, [1] * 40).validation.x[:, 0]
    with pytest.raises(DataError, match=r"weights in the validation split are too far from the "):
        weighted(tmp_path, [weights[row in rows] for row in range(40)])


def test_a_regression_target_is_standardised_by_the_training_split():
    data = load("diabetes")
    np.testing.assert_allclose([data.train.y.mean(), data.train.y.std()], [0, 1], atol=1e-5)
    everything = np.concatenate([data.train.y, data.validation.y, data.test.y])
    restored = everything * data.target_std + data.target_mean
    np.testing.assert_allclose(np.sort(restored), np.sort(read_diabetes().y), rtol=1e-5)


def test_an_outlier_in_a_validation_row_leaves_the_training_rows_as_they_were(tmp_path):
    rows = [(row, row * 1.5) for row in range(30)]
    spec = CsvFile(csv="t.csv", target="y")
    write_csv(tmp_path / "t.csv", rows)
    calm = load(spec, tmp_path)
    # The target identifies the row.
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


@pytest.fixture
def visits(tmp_path):
    """A spec of 60 visits of 12 patients: a feature that numbers the rows, from the last day on."""
    rows = [
        (row, f"p{row % 12}", f"2024-{3 - row // 28:02}-{28 - row % 28:02}", row % 2)
        for row in range(60)
    ]
    write_csv(tmp_path / "t.csv", rows, header="row,patient,day,y")
    return CsvFile(csv="t.csv", target="y")


def rows_of(data):
    assert data.train.x.shape[1] == 1  # the column that splits is no feature
    return [split.x[:, 0].astype(int) for split in (data.train, data.validation, data.test)]


def test_no_group_is_on_two_sides(tmp_path, visits):
    split = GroupSplit(group="patient")
    dataset = visits.model_copy(update={"drop": ("day",)})
    rows = rows_of(load(dataset, tmp_path, split=split, normalize="none"))
    patients = [{*(some % 12)} for some in rows]
    assert [len(some) for some in patients] == [8, 2, 2]
    assert not patients[0] & patients[1]
    assert not patients[1] & patients[2]
    assert not patients[0] & patients[2]


def test_the_latest_rows_are_the_test(tmp_path, visits):
    dataset = visits.model_copy(update={"drop": ("patient",)})
    split = TimeSplit(time="day", gap="2d")
    data = load(dataset, tmp_path, split=split, normalize="none")
    assert [some.tolist() for some in rows_of(data)] == [
        [*range(26, 60)],
        [*range(14, 24)],
        [*range(12)],
    ]


def test_a_column_that_splits_may_be_a_feature_too(tmp_path, visits):
    dataset = visits.model_copy(update={"drop": ("row", "day")})
    data = load(dataset, tmp_path, split=GroupSplit(group="patient", feature=True))
    assert data.train.x.shape[1] == 8  # one input for each patient that trains


def own_splits(tmp_path, words):
    rows = [(row, word, row % 2) for row, word in enumerate(words)]
    write_csv(tmp_path / "t.csv", rows, header="row,part,y")
    split = ColumnSplit(column="part")
    return lambda **data: load(
        CsvFile(csv="t.csv", target="y"), tmp_path, split=split, normalize="none", **data
    )


def test_a_column_names_the_split_of_each_row(tmp_path):
    loaded = own_splits(tmp_path, ["test", "train", "train", "validation", "train", "test"])
    data = loaded()
    assert [some.tolist() for some in rows_of(data)] == [[1, 2, 4], [3], [0, 5]]
    assert loaded(test=0).test is None


def test_a_split_that_the_column_never_names_is_drawn_from_the_rows_that_train(tmp_path):
    rows = rows_of(own_splits(tmp_path, ["train"] * 20 + ["test"] * 4)(validation=0.2))
    assert [len(some) for some in rows] == [16, 4, 4]
    assert rows[2].tolist() == [20, 21, 22, 23]


def test_repeated_rows_on_both_sides_are_noted_until_they_are_left_out(tmp_path):
    values = np.random.default_rng(0).normal(size=(100, 3))
    rows = [(number, *values[number % 100], number % 2) for number in range(110)]
    write_csv(tmp_path / "t.csv", rows, header="id,a,b,c,y")
    table = CsvFile(csv="t.csv", target="y", drop=("id",), task="regression")
    (note,) = load(table, tmp_path).notes
    assert "repeat a row that trains (all with its target)" in note
    assert load(table.model_copy(update={"drop": ()}), tmp_path).notes == ()  # the ids differ
    data = load(table.model_copy(update={"drop_rows": DropRows(duplicates=True)}), tmp_path)
    assert data.notes == ("t.csv: 10 rows that repeat earlier ones are left out.",)
    assert sum(map(len, (data.train, data.validation, data.test))) == 100


def test_images_get_another_size_before_they_are_scaled():
    whole, small = (load("digits", batch_size=64, image_size=size) for size in (None, 4))
    shared = small.train.shared["x"]
    assert (shared.shape[1:], small.features.shape) == ((4, 4, 1), (8, 8, 1))
    np.testing.assert_allclose(small.train.x.mean(dtype=np.float64), 0, atol=1e-6)
    np.testing.assert_array_equal(small.train.y, whole.train.y)
    assert small.fingerprint != whole.fingerprint
    as_read = load("digits", batch_size=64, image_size=8)
    np.testing.assert_array_equal(as_read.train.shared["x"], whole.train.shared["x"])


def test_folds_and_stored_images_have_the_size(tmp_path):
    cache, spec = DataCache(tmp_path), DataSpec(dataset="digits", image_size=5, folds=3)
    plain = load("digits", image_size=5)
    stored = load("digits", image_size=5, store="uint8")
    np.testing.assert_allclose(stored.train.x, plain.train.x, rtol=1e-5, atol=1e-5)
    for _ in range(2):  # made, and read from the cache
        data = load_data(spec, tmp_path, None, cache)
        assert data.train.shared["x"].shape[1:] == (5, 5, 1)
        assert data.train.shared["x"].dtype == np.uint8
        source = read_digits()
        fold = data.folds[0]
        rows = fold.transform.apply(source)
        assert {row.tobytes() for row in fold.train.x} <= {row.tobytes() for row in rows}


@pytest.mark.parametrize(
    ("dataset", "size", "message"),
    [
        ("iris", 4, "is for images with one answer, and examples are no images"),
        ("digits", 9, "9 is more than the 8 pixels of the images: write 8 or less"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(dataset, size, message):
    with pytest.raises(DataError, match=f"data.image_size: {message}"):
        load(dataset, image_size=size)


def test_masks_keep_their_size(tmp_path):
    y = np.zeros((8, 4, 4), np.int32)
    y[:, :2] = 1
    np.savez(tmp_path / "m.npz", x=np.zeros((8, 4, 4, 1), np.uint8), y=y)
    with pytest.raises(DataError, match="and each pixel has a class: remove it"):
        load(NpzFile(npz="m.npz", task="segmentation"), tmp_path, image_size=2)


def test_a_class_that_no_row_trains_is_noted(tmp_path):
    write_csv(tmp_path / "t.csv", [(row, "ab"[row > 4]) for row in range(10)])
    split = TimeSplit(time="a", feature=True)
    data = load(CsvFile(csv="t.csv", target="y"), tmp_path, split=split, validation=5, test=0)
    assert data.notes == (
        "class 'b' has no row to train on, so no model learns to predict it: check data.split.",
    )


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            TimeSplit(time="row", gap="7d"),
            "data.split.gap: 7d is a duration, and column 'row' hold",
        ),
        (
            TimeSplit(time="day", gap="9999999999d"),
            "data.split.gap: leaves no rows to train on: make it smaller.",
        ),
        (
            GroupSplit(group="patent"),
            "data.split.group: unknown column 'patent'. Did you mean 'pat",
        ),
        (GroupSplit(group="y"), "data.split.group: 'y' is the target: name another column."),
        (ColumnSplit(column="y"), "data.split.column: 'y' is the target: name another column."),
        (ColumnSplit(column="day"), "t.csv:2: the split in column 'day' is '2024-03-28': write tr"),
    ],
)
def test_a_split_by_a_column_that_does_not_do_is_refused(tmp_path, visits, split, message):
    with pytest.raises(DataError) as error:
        load(visits, tmp_path, split=split)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_split_column_without_a_row_to_train_on_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"data\.split\.column: no row is for train: correct"):
        own_splits(tmp_path, ["test", "validation"])()


def test_a_file_beside_the_spec_is_read_before_one_at_home(tmp_path, table):
    home, folder = tmp_path / "home", tmp_path / "spec"
    home.mkdir()
    folder.mkdir()
    (tmp_path / "t.csv").rename(home / "t.csv")
    assert load(table, folder, home).train.x.shape == (24, 1)
    write_csv(folder / "t.csv", [(row, row % 2) for row in range(10)])
    assert load(table, folder, home).train.x.shape == (6, 1)


def test_an_absolute_path_is_used_unchanged(tmp_path, table):
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
    ("dataset", "message"),
    [
        ("digit", "data.dataset: unknown name 'digit'. Did you mean 'digits'? Known names: br"),
        ("mnist", "run `hpo data get mnist`, or set HPO_DATA to the folder that holds mnist/."),
        (CsvFile(csv="no.csv", target="y"), "data.dataset.csv: there is no file 'no.csv' in "),
        (IdxFolder(idx="no"), "data.dataset.idx: there is no folder 'no' in "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("has_home", [False, True])
def test_the_message_about_missing_data_says_what_to_do(tmp_path, dataset, message, has_home):
    with pytest.raises(DataError) as error:
        load(dataset, tmp_path, tmp_path / "home" if has_home else None)
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


@pytest.mark.parametrize("batch_size", [1, 24, "all"])
def test_a_batch_may_have_as_many_rows_as_the_training_split(tmp_path, table, batch_size):
    spec = DataSpec(dataset=table, batch_size=batch_size)
    check_batch_size(spec, load(table, tmp_path))


def test_a_batch_larger_than_the_training_split_is_refused(tmp_path, table):
    with pytest.raises(DataError) as error:
        check_batch_size(DataSpec(dataset=table, batch_size=25), load(table, tmp_path))
    assert str(error.value) == (
        "data.batch_size: 25 is larger than the 24 training rows: write 24 or less, or all, "
        "or make data.validation or data.test smaller."
    )


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


@pytest.mark.parametrize(
    "columns",
    [
        Columns(impute="mean", flag=True, transform="quantile"),
        Columns(impute="constant", encode="target"),
        Columns(encode="ordinal", transform="log"),
        Columns(encode="hashing", buckets=3),
        Columns(by_name={"word": {"type": "text"}}),
    ],
)
def test_what_the_other_splits_hold_changes_no_bit_of_the_training_features(tmp_path, columns):
    rows = [(f"{row**2 if row % 7 else ''}", f"{'abc'[row % 3]}x y{row % 2}") for row in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["n,word,y", *_lines(rows)]) + "\n")
    spec = data_spec(columns)
    first = load_data(spec, tmp_path, None)
    kept = {row for row in range(60) if f"{0.5 + row:.1f}" in _targets(first)}
    wild = [row if n in kept else ("1e30", "z z new") for n, row in enumerate(rows)]
    (tmp_path / "t.csv").write_text("\n".join(["n,word,y", *_lines(wild)]) + "\n")
    second = load_data(spec, tmp_path, None)
    np.testing.assert_array_equal(first.train.x, second.train.x)
    assert not np.array_equal(first.validation.x, second.validation.x)


def _lines(rows):
    return [f"{n},{word},{0.5 + row}" for row, (n, word) in enumerate(rows)]


def _targets(data):
    return {f"{y * data.target_std + data.target_mean:.1f}" for y in data.train.y}


def data_spec(columns):
    return DataSpec(dataset=CsvFile(csv="t.csv", target="y"), columns=columns)


REVIEWS = [f"it was {'not ' * (row % 2)}a good film, the {row}. I saw" for row in range(40)]


def reviews(folder, texts=REVIEWS, header="review,y", **text):
    """The data set of a table of texts and two classes."""
    rows = "".join(f'"{text}",{"no" if row % 2 else "yes"}\n' for row, text in enumerate(texts))
    (folder / "t.csv").write_text(f"{header}\n{rows}")
    columns = Columns(by_name={"review": {"type": "text"}})
    return load(CsvFile(csv="t.csv", target="y"), folder, columns=columns, text=text)


def test_a_table_of_texts_loads_as_their_most_frequent_words(tmp_path):
    data = reviews(tmp_path, vectors="counts", features=6)
    # Each text has these words once: it, was, good, film, the, saw.
    for split in (data.train, data.validation):
        np.testing.assert_array_equal(split.x, np.ones((len(split), 6)))


def test_other_leaves_and_stop_words_have_other_fingerprints(tmp_path):
    (tmp_path / "w.txt").write_text("film\n")
    leaves = [{}, {"ngrams": [1, 2]}, {"stop_words": "w.txt"}, {"stop_words": ["good"]}]
    found = [reviews(tmp_path, **text).fingerprint for text in leaves]
    (tmp_path / "w.txt").write_text("good\n")
    found.append(reviews(tmp_path, stop_words="w.txt").fingerprint)
    assert len({*found}) == 4
    assert found[3] == found[4], "the words count, not where they come from"


def test_other_synonyms_have_other_fingerprints_and_the_cache_keeps_them(tmp_path):
    own = {"vectors": "ids", "synonyms": "s.tsv"}
    columns = Columns(by_name={"review": {"type": "text"}})
    spec = DataSpec(dataset=CsvFile(csv="t.csv", target="y"), text=own, columns=columns)
    cache = DataCache(tmp_path / "cache")
    (tmp_path / "s.tsv").write_text("good\tnot\n")
    first = reviews(tmp_path, **own)
    for data in (load_data(spec, tmp_path, None, cache) for _ in range(2)):
        np.testing.assert_array_equal(
            data.transform.alternatives["synonyms"], first.transform.alternatives["synonyms"]
        )
    (tmp_path / "s.tsv").write_text("good\tthe\n")
    assert load_data(spec, tmp_path, None, cache).fingerprint != first.fingerprint
    assert cache.usage().entries == 2


@pytest.mark.parametrize("tokens", ["words", "characters"])
def test_words_of_other_splits_change_no_training_feature(tmp_path, tokens):
    splits = [("train", "validation", "test")[max(0, row - 37)] for row in range(40)]
    by_name = {"review": {"type": "text"}}

    def train(last):
        texts = [*REVIEWS[:38], *last]
        rows = zip(texts, splits, ["no", "yes"] * 20, strict=True)
        write_csv(tmp_path / "t.csv", [(f'"{t}"', s, y) for t, s, y in rows], "review,part,y")
        return load(
            CsvFile(csv="t.csv", target="y"),
            tmp_path,
            split=ColumnSplit(column="part"),
            columns=Columns(by_name=by_name),
            text={"tokens": tokens, "ngrams": [1, 2]},
        ).train.x

    np.testing.assert_array_equal(train(REVIEWS[38:]), train(["unheard " * 99, "很好 good"]))


def test_text_leaves_of_a_table_without_texts_are_refused(tmp_path, table):
    with pytest.raises(DataError, match=r"data\.text: this data set has no column of text"):
        load(table, tmp_path, text={"lower": False})


def test_ids_of_tokens_stay_whole_numbers(tmp_path):
    data = reviews(tmp_path, vectors="ids", length=12, vocabulary=6)
    assert data.vocabulary == 2 + 6
    for split in (data.train, data.validation, data.test):
        assert (split.x.dtype, split.x.shape[1]) == (np.int32, 12)
        assert 0 <= split.x.min() <= split.x.max() < data.vocabulary


def test_other_vectors_of_words_are_other_data(tmp_path):
    found = []
    for number in ("0.5", "0.25"):
        (tmp_path / "v.txt").write_text(f"film 1 2\ngood {number} 3\n")
        found.append(reviews(tmp_path, vectors="ids", embeddings="v.txt", vocabulary=7))
    assert found[0].fingerprint != found[1].fingerprint
    assert found[1].embeddings.shape == (found[1].vocabulary, 2)
    assert [0.25, 3] in found[1].embeddings.tolist()


def test_features_of_a_series_are_not_whitened(tmp_path: Path) -> None:
    rows = "\n".join(f"{day},{day % 7}" for day in range(60))
    (tmp_path / "s.csv").write_text(f"day,sales\n{rows}\n")
    dataset = {"csv": "s.csv", "target": "sales", "time": "day", "window": 4}
    spec = DataSpec.model_validate({"dataset": dataset, "normalize": "whiten"})
    with pytest.raises(DataError, match="whiten and reduce are not for series"):
        load_data(spec, tmp_path, None)
