"""A look at a folder of IDX files."""

import struct

import pytest

from hpo.data.overview.formats.images import look_at_idx, look_at_images


def write_idx(folder, names, labels):
    images = struct.pack(">4I", 0x0803, len(labels), 3, 2) + bytes(6 * len(labels))
    (folder / names[0]).write_bytes(images)
    (folder / names[1]).write_bytes(struct.pack(">2I", 0x0801, len(labels)) + bytes(labels))


def test_images_are_counted_by_class_and_have_a_shape(tmp_path):
    write_idx(tmp_path, ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), [7, 1, 1, 1])
    seen = look_at_idx(tmp_path, "x")

    assert seen.dataset == {"idx": "x"}
    assert seen.shape == (3, 2, 1)
    assert seen.target.classes == {"1": 3, "7": 1}
    assert seen.options == {"test": 0.2}


def test_test_files_are_the_test_split(tmp_path):
    write_idx(tmp_path, ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), [0, 1])
    write_idx(tmp_path, ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"), [0, 1])
    assert look_at_idx(tmp_path, "x").options == {"test": "auto"}


def test_another_folder_is_left_to_other_readers(tmp_path):
    (tmp_path / "cat.png").touch()
    assert look_at_idx(tmp_path, "x") is None


def write_images(folder, sizes):
    image = pytest.importorskip("PIL.Image")
    for number, (kind, size) in enumerate(sizes):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        image.new("RGB", size, (number, 0, 0)).save(folder / kind / f"{number}.png")


def test_the_folders_of_images_are_classes(tmp_path):
    write_images(tmp_path, [("cat", (6, 4)), ("dog", (6, 4)), ("dog", (6, 4))])
    seen = look_at_images(tmp_path, "x")
    assert (seen.dataset, seen.shape) == ({"images": "x"}, (4, 6, 3))
    assert seen.target.classes == {"dog": 2, "cat": 1}


def test_images_of_several_sizes_get_one(tmp_path):
    write_images(tmp_path / "train", [("cat", (60, 40)), ("dog", (50, 48)), ("dog", (64, 56))])
    write_images(tmp_path / "test", [("cat", (60, 40))])
    seen = look_at_images(tmp_path, "x")
    assert (seen.dataset, seen.shape) == ({"images": "x", "size": 48}, (48, 48, 3))
    assert seen.options == {"test": "auto"}
