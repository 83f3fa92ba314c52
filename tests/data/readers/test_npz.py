"""NPZ files."""

import io
import struct
import zipfile

import numpy as np
import pytest

from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.data.readers.npz import read_npz
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec, NpzFile

X, Y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 2, 0, 1, 2])


def section(task="auto", **data):
    return DataSpec(dataset=NpzFile(npz="t.npz", task=task), **data)


def read(folder, *, save=np.savez, task="auto", **arrays):
    save(folder / "t.npz", **arrays)
    return read_npz(folder / "t.npz", section(task))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_numbers_are_a_table(tmp_path, save):
    source = read(tmp_path, save=save, x=np.asfortranarray(X), y=Y, weight=Y + 1.0)
    np.testing.assert_array_equal(source.x, X)
    np.testing.assert_array_equal(source.y, Y)
    np.testing.assert_array_equal(source.weight, Y + 1.0)
    assert (source.x.dtype, source.classes) == (np.float64, ("0", "1", "2"))


def test_grey_images_get_a_channel_and_named_splits_are_those_of_the_file(tmp_path):
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
    arrays = {"x_train": images, "y_train": Y, "x_val": images[:2], "y_val": Y[:2]}
    np.savez(tmp_path / "t.npz", **arrays, x_test=images[:3], y_test=Y[:3], other=X)
    data = load_data(section(), tmp_path, None)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [6, 2, 3]
    assert data.train.x.shape == (6, 2, 2, 1)
    assert load_data(section(test=0), tmp_path, None).test is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, r"t\.npz: holds x, and a data set is arrays x and y \(and weight"),
        ({"x": X, "y": Y[:5]}, r"data\.dataset\.npz: t\.npz: train: y has the shape \[5\], and x"),
        ({"x": X[:, 0], "y": Y}, r"x is an array \[6\] of type float64: save numbers \[rows, f"),
        ({"x": X, "y": X[:, :1] * 1j}, r"y has the shape|y is of type complex128: save numbers"),
        ({"x": X, "y": Y, "x_train": X}, r"t\.npz: holds an array twice: keep one of x, y, x_tra"),
        ({"x": np.array([{}], object), "y": Y}, r"t\.npz: x holds Python objects, which may run"),
        ({"x": np.zeros(6, [("a", "i4")]), "y": Y}, r"t\.npz: x holds records: save an array for"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, save=lambda path, **kept: np.savez(path, **kept), **arrays)


def forged(shape, size=48):
    """A member that says that it is an array of a shape, and holds another number of bytes."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(size)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (forged("(10**12, 2)".replace("10**12", str(10**12))), r"x says that it is \[10+, 2\] flo"),
        (forged("(-1, 2)"), r"x says that it is \[-1, 2\]|is no NPZ file, or damaged"),
        (b"\x93NUMPY\x09\x00", r"t\.npz: is no NPZ file, or damaged \("),
        (b"", r"t\.npz: is no NPZ file, or damaged \("),
        (forged("__import__('os').system('touch hacked')"), r"t\.npz: is no NPZ file, or damaged"),
    ],
)
def test_a_forged_header_is_refused_and_runs_nothing(tmp_path, monkeypatch, member, message):
    monkeypatch.chdir(tmp_path)
    y = io.BytesIO()
    np.save(y, Y)
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as file:
        file.writestr("x.npy", member)
        file.writestr("y.npy", y.getvalue())
    with pytest.raises(DataError, match=message) as caught:
        read_npz(tmp_path / "t.npz", section())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "hacked").exists()


def test_a_damaged_file_and_a_bomb_are_refused(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, x=X, y=Y)
    sound = path.read_bytes()
    for damaged in (sound[:200], b"", sound.replace(X.tobytes(), X.tobytes()[::-1])):
        path.write_bytes(damaged)
        with pytest.raises(
            DataError, match=r"t\.npz: is no NPZ file, or damaged \(.*save it again"
        ):
            read_npz(path, section())
    np.savez_compressed(path, x=np.zeros((1 << 20, 3)), y=np.zeros(1 << 20))
    with pytest.raises(DataError, match=r"t\.npz: unpacks to more than 50 times its .* bytes"):
        read_npz(path, section())


def test_the_head_is_the_shapes_of_the_arrays(tmp_path):
    np.savez(tmp_path / "t.npz", x=X, y=Y)
    assert inspect_data(section(), tmp_path, None).seen == "t.npz: x [6, 2] float64, y [6] int64"
    (tmp_path / "t.npz").write_bytes(b"PK")
    (mistake,) = inspect_data(section(), tmp_path, None).mistakes
    assert mistake.path == ("dataset", "npz")


@pytest.mark.parametrize(
    ("values", "is_told"), [((0, 1, 255), True), ((0, 255), False), ((0, 254, 255), False)]
)
def test_masks_that_may_mark_pixels_without_a_class_are_noted(tmp_path, values, is_told):
    x = np.zeros((6, 4, 4, 1), np.uint8)
    y = np.resize(np.array(values, np.uint8), x.shape[:3])
    np.savez(tmp_path / "t.npz", x=x, y=y)
    spec = DataSpec(dataset=NpzFile(npz="t.npz"), test=0, class_weight={values[-1]: 0.0})
    data = load_data(spec, tmp_path, None)
    assert any("{255: 0}" in note for note in data.notes) == is_told
    assert (data.train.arrays["weight"] == 0).any()
