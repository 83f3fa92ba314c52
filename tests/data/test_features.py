"""Encoding and scaling of features."""

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from hpo.data.dataset import Source
from hpo.data.features import fit_features
from hpo.errors import DataError

NAN = np.nan


def table(rows, categories=None):
    x = np.array(rows, np.float64).reshape(len(rows), -1)
    codes = None if categories is None else np.array(categories, np.int32)
    # The flag is the same for every split, whichever of them has the empty cells.
    return Source(
        x=x, y=np.zeros(len(rows)), target="t.csv", categories=codes, has_empty_cells=True
    )


def images(shape, seed=0):
    x = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return Source(x=x, y=np.zeros(len(x), np.int32), target="images")


@pytest.mark.parametrize(
    ("normalize", "scaler"), [("standard", StandardScaler), ("minmax", MinMaxScaler)]
)
def test_columns_are_scaled_as_scikit_learn_scales_them(normalize, scaler):
    rng = np.random.default_rng(0)
    train, other = rng.normal(5, 3, (40, 4)), rng.normal(5, 3, (9, 4))
    expected = scaler().fit(train)
    encode = fit_features(table(train), normalize)
    np.testing.assert_allclose(encode(table(train)), expected.transform(train), atol=1e-6)
    np.testing.assert_allclose(encode(table(other)), expected.transform(other), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_scaled_by_one_mean_and_deviation_per_channel(channels):
    train, other = images((30, 5, 4, channels)), images((3, 5, 4, channels), seed=1)
    mean, std = train.x.mean(axis=(0, 1, 2)), train.x.std(axis=(0, 1, 2))
    encoded = fit_features(train, "standard")(other)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, (other.x - mean) / std, rtol=1e-5, atol=1e-5)


def test_pixels_scaled_by_minmax_lie_between_zero_and_one():
    encoded = fit_features(images((30, 5, 4, 1)), "minmax")(images((30, 5, 4, 1)))
    assert (encoded.min(), encoded.max()) == (0, 1)


def test_nothing_is_scaled_without_normalisation():
    source = images((3, 2, 2, 1))
    np.testing.assert_array_equal(fit_features(source, "none")(source), source.x)


@pytest.mark.parametrize("normalize", ["standard", "minmax"])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
def test_a_constant_column_becomes_zero(normalize, constant):
    source = table([[constant, 1], [constant, 2], [constant, 4]])
    encoded = fit_features(source, normalize)(source)
    np.testing.assert_array_equal(encoded[:, 0], 0)
    assert np.isfinite(encoded).all()


def test_a_black_image_stays_finite():
    source = Source(x=np.zeros((4, 2, 2, 1), np.uint8), y=np.zeros(4, np.int32), target="images")
    np.testing.assert_array_equal(fit_features(source, "standard")(source), 0)


def test_digits_beyond_float32_survive_the_scaling():
    source = table([[1.7e9 + 1], [1.7e9 + 2], [1.7e9 + 3]])
    np.testing.assert_allclose(fit_features(source, "minmax")(source), [[0], [0.5], [1]])


def test_an_empty_number_becomes_the_training_median():
    train, other = table([[1], [2], [90], [NAN]]), table([[NAN], [5]])
    np.testing.assert_array_equal(fit_features(train, "none")(other), [[2], [5]])


def test_text_columns_follow_the_numbers_as_ones_and_zeros():
    train = table([[7], [8], [9]], [[0], [2], [2]])
    np.testing.assert_array_equal(
        fit_features(train, "none")(train), [[7, 1, 0], [8, 0, 1], [9, 0, 1]]
    )


def test_an_empty_text_becomes_the_most_frequent_one_and_an_unknown_one_none():
    train = table([[7], [8], [9]], [[0], [2], [2]])
    other = table([[7], [8]], [[-1], [1]])
    np.testing.assert_array_equal(fit_features(train, "none")(other), [[7, 0, 1], [8, 0, 0]])


def test_columns_that_are_empty_in_training_are_left_out():
    train = table([[NAN, 1], [NAN, 2]], [[-1, 0], [-1, 1]])
    other = table([[1e30, 3]], [[5, 1]])
    np.testing.assert_array_equal(fit_features(train, "none")(other), [[3, 0, 1]])


@pytest.mark.parametrize(
    ("rows", "categories"), [([[NAN], [NAN]], None), ([[NAN], [NAN]], [[-1], [-1]])]
)
def test_a_table_of_empty_cells_is_refused(rows, categories):
    with pytest.raises(
        DataError, match=r"t\.csv: no feature has a value in any training row: fill in"
    ):
        fit_features(table(rows, categories), "standard")


def test_numbers_beyond_float32_are_refused():
    train = table([[1], [2]])
    encode = fit_features(train, "standard")
    with pytest.raises(DataError, match=r"t\.csv: a column holds numbers too large for float32"):
        encode(table([[1e300]]))


def test_an_outlier_in_another_split_does_not_move_the_statistics():
    train = table([[1, 5], [2, 6], [3, 7], [NAN, 7]], [[0], [1], [1], [-1]])
    calm, wild = table([[2, 6]], [[0]]), table([[1e6, -1e6]], [[9]])
    encode = fit_features(train, "standard")
    before = encode(train), encode(calm)
    encode(wild)
    np.testing.assert_array_equal(before[0], encode(train))
    np.testing.assert_array_equal(before[1], encode(calm))
    np.testing.assert_allclose(encode(train)[:, :2].mean(axis=0), 0, atol=1e-6)
