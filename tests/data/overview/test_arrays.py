"""A look at arrays that a reader has read whole."""

import numpy as np
import pytest

from hpo.data.overview.arrays import look_at_npz

RNG = np.random.default_rng(0)
LABELS = ("multilabel", {"target_1": 15, "target_2": 10})


def test_arrays_of_numbers_are_a_table(tmp_path):
    np.savez(tmp_path / "t.npz", x=RNG.normal(size=(30, 3)), y=np.arange(30) % 3)
    seen = look_at_npz(tmp_path / "t.npz", "t.npz")
    assert seen.dataset == {"npz": "t.npz"}
    assert len(seen.columns) == 3
    assert seen.target.classes == {"0": 10, "1": 10, "2": 10}


def test_arrays_of_pixels_are_images(tmp_path):
    x = RNG.integers(0, 255, (30, 6, 5, 3), np.uint8)
    np.savez(tmp_path / "t.npz", x=x, y=np.arange(30) % 2)
    assert look_at_npz(tmp_path / "t.npz", "t.npz").shape == (6, 5, 3)


def test_images_may_have_quantities(tmp_path):
    x = RNG.integers(0, 255, (30, 6, 5, 3), np.uint8)
    np.savez(tmp_path / "t.npz", x=x, y=x.mean(axis=(1, 2, 3)))
    seen = look_at_npz(tmp_path / "t.npz", "t.npz")
    assert (seen.rows, seen.shape, seen.target.task) == (30, (6, 5, 3), "regression")


@pytest.mark.parametrize(
    ("y", "task", "classes"),
    [
        (RNG.normal(size=(30, 2)), "regression", {}),
        (np.stack([np.arange(30) % 2, np.arange(30) % 3 == 0], axis=1).astype(int), *LABELS),
    ],
)
def test_several_targets_have_the_names_of_their_places(tmp_path, y, task, classes):
    np.savez(tmp_path / "t.npz", x=RNG.normal(size=(30, 3)), y=y)
    target = look_at_npz(tmp_path / "t.npz", "t.npz").target
    assert (target.names, target.task) == (("target_1", "target_2"), task)
    assert target.classes == classes


def test_masks_have_classes_of_pixels(tmp_path):
    x = RNG.integers(0, 255, (30, 6, 5, 3), np.uint8)
    np.savez(tmp_path / "t.npz", x=x, y=np.broadcast_to(np.arange(30) % 3, (30, 6, 30))[..., :5])
    seen = look_at_npz(tmp_path / "t.npz", "t.npz")
    assert (seen.rows, seen.shape, seen.target.task) == (30, (6, 5, 3), "segmentation")
    assert seen.target.classes == {"0": 360, "1": 360, "2": 180}


def test_another_file_is_left_to_other_readers(tmp_path):
    assert look_at_npz(tmp_path / "t.csv", "t.csv") is None
