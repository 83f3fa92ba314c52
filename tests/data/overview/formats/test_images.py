"""A look at a folder of IDX files."""

import struct

from hpo.data.overview.formats.images import look_at_idx


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
