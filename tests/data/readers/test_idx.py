"""Folders of IDX files."""

import gzip
import re
import struct

import numpy as np
import pytest

from hpo.data.readers.idx import TEST_FILES, TRAIN_FILES, has_test_files, read_folder
from hpo.errors import DataError


def idx_bytes(array):
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


IMAGES = np.arange(6 * 3 * 2, dtype=np.uint8).reshape(6, 3, 2)
LABELS = [7, 3, 7, 3, 9, 9]


def read(folder, with_test=False):
    return read_folder(folder, with_test=with_test, cure="get it.")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_images_get_a_channel_and_labels_count_the_classes(tmp_path, suffix, write_set):
    write_set(tmp_path, TRAIN_FILES, IMAGES, LABELS, suffix)
    source = read(tmp_path)
    np.testing.assert_array_equal(source.x, IMAGES[..., np.newaxis])
    np.testing.assert_array_equal(source.y, [1, 0, 1, 0, 2, 2])
    assert source.classes == ("3", "7", "9")
    assert source.test is None


def test_test_files_are_read_with_the_classes_of_the_training_files(tmp_path, write_set):
    write_set(tmp_path, TRAIN_FILES, IMAGES, LABELS)
    assert not has_test_files(tmp_path)
    write_set(tmp_path, TEST_FILES, IMAGES[:2], [9, 7])
    assert has_test_files(tmp_path)
    source = read(tmp_path, with_test=True)
    np.testing.assert_array_equal(source.test.x, IMAGES[:2, ..., np.newaxis])
    np.testing.assert_array_equal(source.test.y, [2, 1])


GOOD = idx_bytes(IMAGES)
GZIPPED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("suffix", "data", "message"),
    [
        ("", GOOD[:10], "is truncated: 10 bytes are less than an IDX header. Download it"),
        ("", b"", "is truncated: 0 bytes are less than an IDX header."),
        ("", GOOD[:-1], "is truncated: its header announces 36 bytes and 35 follow. Download"),
        ("", GOOD + b"x", "is too long: its header announces 36 bytes and 37 follow."),
        (
            "",
            GOOD[:4] + b"\x7f" * 12 + GOOD[16:],
            "is truncated: its header announces 9787464616299814446115438207 by",
        ),
        (
            ".gz",
            gzip.compress(GOOD[:4] + b"\x7f" * 12),
            "is truncated: its header announces 9787464616299814446115438207 by",
        ),
        ("", b"\x89PNG" + GOOD[4:], "starts with 0x89504e47 where IDX files of 3 dimensions have"),
        ("", idx_bytes(IMAGES[:, :, 0])[:4] + GOOD[4:], "starts with 0x00000802 where IDX files"),
        ("", idx_bytes(IMAGES[:0]), "holds no examples. Download the file again."),
        (".gz", GOOD, "is a damaged gzip file (Not a gzipped file"),
        (".gz", GZIPPED[:-12], "is truncated: the gzip data end early."),
        (".gz", GZIPPED[:-8] + b"12345678", "is a damaged gzip file (CRC check"),
        (".gz", GZIPPED[:10] + b"\xff" * 60, "is a damaged gzip file (Error"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path, suffix, data, message, write_set):
    write_set(tmp_path, TRAIN_FILES, IMAGES, LABELS, suffix)
    broken = tmp_path / (TRAIN_FILES[0] + suffix)
    broken.write_bytes(data)
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert str(error.value).startswith(f"{broken}: {message}")
    assert re.search(
        r"(Download (it|the file) again|Replace it with the right one)\.$", str(error.value)
    )


@pytest.mark.parametrize(
    ("missing", "with_test"),
    [
        (TRAIN_FILES[0], False),
        (TRAIN_FILES[1], False),
        (TEST_FILES[0], True),
        (TEST_FILES[1], True),
    ],
)
def test_the_message_about_a_missing_file_names_it_and_says_what_to_do(
    tmp_path, missing, with_test, write_set
):
    write_set(tmp_path, TRAIN_FILES, IMAGES, LABELS)
    write_set(tmp_path, TEST_FILES, IMAGES, LABELS)
    (tmp_path / f"{missing}.gz").unlink()
    with pytest.raises(DataError) as error:
        read(tmp_path, with_test)
    assert str(error.value) == f"no file {missing}.gz (or {missing}) in {tmp_path}: get it."


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ((IMAGES, LABELS[:5]), (IMAGES, LABELS), "5 labels: give files that belong together."),
        ((IMAGES, [4] * 6), (IMAGES, LABELS), "every training label is 4: give labels of"),
        ((IMAGES, LABELS), (IMAGES[:, :2], LABELS), "test and training images differ in size (2x2"),
        ((IMAGES, LABELS), (IMAGES[:2], [3, 8]), "the test labels hold 8, the training labels do"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, train, test, message, write_set):
    write_set(tmp_path, TRAIN_FILES, *train)
    write_set(tmp_path, TEST_FILES, *test)
    with pytest.raises(DataError) as error:
        read(tmp_path, with_test=True)
    assert str(error.value).startswith(f"{tmp_path}: ")
    assert message in str(error.value)
    assert ": give " in str(error.value)
