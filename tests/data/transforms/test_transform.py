"""Encoding and scaling of features and targets."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

from hpo.data.source import Source
from hpo.data.transforms.transform import FittedTransform, fit_transform
from hpo.errors import DataError
from hpo.spec.sections.columns import Columns

NAN = np.nan


def table(rows, categories=None):
    x = np.array(rows, np.float64).reshape(len(rows), -1)
    codes = None if categories is None else np.array(categories, np.int32)
    return Source(x=x, y=np.zeros(len(rows)), target="t.csv", categories=codes)


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
    fitted = fit_transform(table(train), normalize, columns=Columns())
    np.testing.assert_allclose(fitted.apply(table(train)), expected.transform(train), atol=1e-6)
    np.testing.assert_allclose(fitted.apply(table(other)), expected.transform(other), atol=1e-6)


def test_a_robust_scale_is_the_median_and_the_middle_half():
    rng = np.random.default_rng(0)
    train, other = rng.normal(5, 3, (40, 3)), rng.normal(5, 3, (9, 3))
    train[:, 1] = 7.0  # a constant
    train[:, 2] = 0.0
    train[:4, 2] = (-2, 1, 2, 6)  # its middle half is empty: half of its range divides
    fitted = fit_transform(table(train), "robust", columns=Columns())
    scaled = fitted.apply(table(other))
    expected = RobustScaler().fit(train[:, :1]).transform(other[:, :1])
    np.testing.assert_allclose(scaled[:, :1], expected, rtol=1e-5)
    np.testing.assert_allclose(scaled[:, 1], other[:, 1] - 7, rtol=1e-5)
    np.testing.assert_allclose(scaled[:, 2], other[:, 2] / 4, rtol=1e-5)


def test_numbers_are_bent_towards_the_bound_and_flags_are_not():
    train = table([[NAN], [0.0], [1.0], [2.0], [3.0], [4.0]])
    columns = Columns(flag=True)
    fitted = fit_transform(train, "none", clip=3.0, columns=columns)
    x, flag = fitted.apply(table([[2.0], [4.0], [1e30], [-1e38], [NAN]])).T
    by_hand = [2 / np.sqrt(1 + 4 / 9), 4 / np.sqrt(1 + 16 / 9), 3, -3, 2 / np.sqrt(1 + 4 / 9)]
    np.testing.assert_allclose(x, by_hand, rtol=1e-6)
    np.testing.assert_array_equal(flag, [0, 0, 0, 0, 1])
    again = FittedTransform.from_arrays(fitted.to_arrays())
    np.testing.assert_array_equal(again.apply(table([[4.0]])), fitted.apply(table([[4.0]])))


@pytest.mark.parametrize(("leaf", "asked"), [("normalize: robust", {}), ("clip", {"clip": 3.0})])
def test_images_have_neither_a_robust_scale_nor_a_bound(leaf, asked):
    normalize = "standard" if asked else "robust"
    with pytest.raises(DataError, match=f"data.{leaf}: is for the columns of a table"):
        fit_transform(images((3, 5, 4, 1)), normalize, columns=Columns(), **asked)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_scaled_by_one_mean_and_deviation_per_channel(channels):
    train, other = images((30, 5, 4, channels)), images((3, 5, 4, channels), seed=1)
    mean, std = train.x.mean(axis=(0, 1, 2)), train.x.std(axis=(0, 1, 2))
    encoded = fit_transform(train, "standard", columns=Columns()).apply(other)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, (other.x - mean) / std, rtol=1e-5, atol=1e-5)


def test_pixels_scaled_by_minmax_lie_between_zero_and_one():
    encoded = fit_transform(images((30, 5, 4, 1)), "minmax", columns=Columns()).apply(
        images((30, 5, 4, 1))
    )
    assert (encoded.min(), encoded.max()) == (0, 1)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-1.0, 1.0), (-3.0, -2.5), (10.0, 1000.0)])
def test_minmax_scales_to_any_range_as_scikit_learn_does(ends):
    rng = np.random.default_rng(0)
    train, other = rng.normal(5, 3, (40, 4)), rng.normal(5, 3, (9, 4))
    train[:, 3] = 7  # a constant becomes the lower end
    expected = MinMaxScaler(feature_range=ends).fit(train)
    fitted = fit_transform(table(train), "minmax", ends, columns=Columns())
    for rows in (train, other):
        np.testing.assert_allclose(
            fitted.apply(table(rows)), expected.transform(rows), rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_each_channel_fill_the_range(channels):
    train, other = images((30, 5, 4, channels)), images((3, 5, 4, channels), seed=1)
    expected = MinMaxScaler(feature_range=(-1, 1)).fit(train.x.reshape(-1, channels))
    fitted = fit_transform(train, "minmax", (-1.0, 1.0), columns=Columns())
    np.testing.assert_allclose(
        fitted.apply(other).reshape(-1, channels),
        expected.transform(other.x.reshape(-1, channels)),
        atol=1e-6,
    )
    encoded = fitted.apply(train)
    np.testing.assert_array_equal(encoded.min(axis=(0, 1, 2)), -1)
    np.testing.assert_array_equal(encoded.max(axis=(0, 1, 2)), 1)


def test_nothing_is_scaled_without_normalisation():
    source = images((3, 2, 2, 1))
    np.testing.assert_array_equal(
        fit_transform(source, "none", columns=Columns()).apply(source), source.x
    )


@pytest.mark.parametrize("normalize", ["standard", "minmax"])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
def test_a_constant_column_becomes_zero(normalize, constant):
    source = table([[constant, 1], [constant, 2], [constant, 4]])
    encoded = fit_transform(source, normalize, columns=Columns()).apply(source)
    np.testing.assert_array_equal(encoded[:, 0], 0)
    assert np.isfinite(encoded).all()


def test_a_black_image_stays_finite():
    source = Source(x=np.zeros((4, 2, 2, 1), np.uint8), y=np.zeros(4, np.int32), target="images")
    np.testing.assert_array_equal(
        fit_transform(source, "standard", columns=Columns()).apply(source), 0
    )


def test_numbers_with_more_digits_than_float32_are_scaled_in_float64():
    source = table([[1.7e9 + 1], [1.7e9 + 2], [1.7e9 + 3]])
    np.testing.assert_allclose(
        fit_transform(source, "minmax", columns=Columns()).apply(source), [[0], [0.5], [1]]
    )


def test_an_empty_number_becomes_the_training_median():
    train, other = table([[1], [2], [90], [NAN]]), table([[NAN], [5]])
    np.testing.assert_array_equal(
        fit_transform(train, "none", columns=Columns()).apply(other), [[2], [5]]
    )


def test_text_columns_follow_the_numbers_one_hot_encoded():
    train = table([[7], [8], [9]], [[0], [2], [2]])
    np.testing.assert_array_equal(
        fit_transform(train, "none", columns=Columns()).apply(train),
        [[7, 1, 0], [8, 0, 1], [9, 0, 1]],
    )


cells = st.one_of(st.just(NAN), st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))


@given(arrays(np.float64, (9, 3), elements=cells), arrays(np.float64, (4, 3), elements=cells))
def test_empty_numbers_are_filled_as_scikit_learn_fills_them(train, other):
    train[0] = [0.5, 1.5, -2.5]  # no column is empty
    imputer = SimpleImputer(strategy="median").fit(train)
    fitted = fit_transform(table(train), "none", columns=Columns())
    for rows in (train, other):
        expected = imputer.transform(rows).astype(np.float32)
        np.testing.assert_array_equal(fitted.apply(table(rows)), expected)


codes = st.integers(-1, 3)


@given(arrays(np.int32, (9, 2), elements=codes), arrays(np.int32, (4, 2), elements=codes))
def test_texts_are_one_hot_encoded_as_scikit_learn_encodes_them(train, other):
    train[0] = [1, 2]  # no column is empty
    pipeline = make_pipeline(
        SimpleImputer(missing_values=-1, strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32),
    ).fit(train)
    fitted = fit_transform(table([[0]] * 9, train), "none", columns=Columns())
    for rows in (train, other):
        encoded = fitted.apply(table([[0]] * len(rows), rows))
        np.testing.assert_array_equal(encoded[:, 1:], pipeline.transform(rows))


def test_an_empty_text_becomes_the_most_frequent_one_and_an_unknown_text_is_all_zeros():
    train = table([[7], [8], [9]], [[0], [2], [2]])
    other = table([[7], [8]], [[-1], [1]])
    np.testing.assert_array_equal(
        fit_transform(train, "none", columns=Columns()).apply(other), [[7, 0, 1], [8, 0, 0]]
    )


def test_columns_that_are_empty_in_training_are_left_out():
    train = table([[NAN, 1], [NAN, 2]], [[-1, 0], [-1, 1]])
    other = table([[1e30, 3]], [[5, 1]])
    np.testing.assert_array_equal(
        fit_transform(train, "none", columns=Columns()).apply(other), [[3, 0, 1]]
    )


@pytest.mark.parametrize(
    ("rows", "categories"), [([[NAN], [NAN]], None), ([[NAN], [NAN]], [[-1], [-1]])]
)
def test_a_table_of_empty_cells_is_refused(rows, categories):
    with pytest.raises(
        DataError, match=r"t\.csv: no feature has a value in any training row: fill in"
    ):
        fit_transform(table(rows, categories), "standard", columns=Columns())


@pytest.mark.parametrize("size", [1e-310, 1e-200])
def test_a_target_that_varies_by_too_little_for_a_deviation_is_refused(size):
    source = Source(x=np.zeros((9, 1)), y=np.arange(9) * size, target="t.csv: target 'y'")
    with pytest.raises(
        DataError, match=r"^t\.csv: target 'y': its values differ by .*smaller unit"
    ):
        fit_transform(source, "standard", columns=Columns())
    assert (
        fit_transform(
            replace(source, y=np.arange(9) * 1e-100), "standard", columns=Columns()
        ).target_std
        > 0
    )


def test_numbers_beyond_float32_are_refused():
    train = table([[1], [2]])
    fitted = fit_transform(train, "standard", columns=Columns())
    with pytest.raises(DataError, match=r"t\.csv: a column holds numbers too large for float32"):
        fitted.apply(table([[1e300]]))


def test_an_outlier_in_another_split_does_not_move_the_statistics():
    train = table([[1, 5], [2, 6], [3, 7], [NAN, 7]], [[0], [1], [1], [-1]])
    calm, wild = table([[2, 6]], [[0]]), table([[1e6, -1e6]], [[9]])
    fitted = fit_transform(train, "standard", columns=Columns())
    before = fitted.apply(train), fitted.apply(calm)
    fitted.apply(wild)
    np.testing.assert_array_equal(before[0], fitted.apply(train))
    np.testing.assert_array_equal(before[1], fitted.apply(calm))
    np.testing.assert_allclose(fitted.apply(train)[:, :2].mean(axis=0), 0, atol=1e-6)


@pytest.mark.parametrize(
    "train",
    [
        images((30, 5, 4, 3)),
        table([[1.5, NAN], [2.5, 7], [NAN, 8]], [[0, -1], [2, 1], [2, -1]]),
        table([[NAN], [NAN]], [[0], [1]]),
        table([[1], [2]]),
    ],
    ids=["images", "numbers and texts", "texts", "numbers"],
)
def test_a_fit_is_the_same_once_it_has_been_stored(tmp_path, train):
    fitted = fit_transform(train, "standard", columns=Columns())
    np.savez(tmp_path / "fit.npz", **fitted.to_arrays())
    with np.load(tmp_path / "fit.npz", allow_pickle=False) as stored:
        again = FittedTransform.from_arrays(dict(stored))
    np.testing.assert_array_equal(again.apply(train), fitted.apply(train))
    np.testing.assert_array_equal(again.apply_target(train), fitted.apply_target(train))


def test_a_regression_target_is_standardised_and_classes_stay():
    train = Source(x=np.ones((4, 1)), y=np.array([1.0, 2, 3, 6]), target="t.csv")
    other = Source(x=np.ones((1, 1)), y=np.array([10.0]), target="t.csv")
    expected = (10 - 3) / np.sqrt(3.5)
    fitted = fit_transform(train, "standard", columns=Columns())
    np.testing.assert_allclose(fitted.apply_target(other), [expected], rtol=1e-6)
    classes = Source(
        x=np.ones((2, 1)), y=np.array([1, 0], np.int32), target="t", classes=("a", "b")
    )
    assert fit_transform(classes, "standard", columns=Columns()).apply_target(classes) is classes.y


def test_a_fit_without_arguments_changes_nothing():
    source = images((3, 2, 2, 1))
    np.testing.assert_array_equal(FittedTransform().apply(source), source.x)
