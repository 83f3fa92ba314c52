"""Folders of images by class."""

import numpy as np
import pytest

from hpo.data.cache import DataCache
from hpo.data.head import inspect_data
from hpo.data.load import load_data
from hpo.data.readers import images
from hpo.data.readers.images import read_images
from hpo.errors import DataError
from hpo.spec.sections.data import DataSpec, ImageFolder

Image = pytest.importorskip("PIL.Image", reason="the extra `images` is not installed")

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
RGB = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def section(*, data=None, **spec):
    return DataSpec(dataset=ImageFolder(images="t", **spec), **(data or {}))


def save(folder, name, pixels, **how):
    path = folder / "t" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **how)


def read(folder, **spec):
    return read_images(folder / "t", section(**spec))


def test_a_folder_is_a_class_and_grey_images_have_one_channel(tmp_path):
    save(tmp_path, "b/1.png", GREY)
    save(tmp_path, "a/deep/2.bmp", GREY + 1)
    save(tmp_path, "a/1.PNG", GREY + 2)
    (tmp_path / "t" / "a" / "notes.txt").write_text("no image")
    (tmp_path / "t" / ".cache").mkdir()
    source = read(tmp_path)
    assert source.classes == ("a", "b")
    np.testing.assert_array_equal(source.y, [0, 0, 1])
    np.testing.assert_array_equal(source.x[..., 0], [GREY + 2, GREY + 1, GREY])


def test_images_of_colour_have_three_channels_unless_grey_is_asked_for(tmp_path):
    save(tmp_path, "a/1.png", RGB)
    save(tmp_path, "b/1.png", GREY)
    source = read(tmp_path)
    np.testing.assert_array_equal(source.x[0], RGB)
    np.testing.assert_array_equal(source.x[1], np.stack([GREY] * 3, axis=-1))
    luma = (RGB @ [0.299, 0.587, 0.114])[..., None]
    np.testing.assert_allclose(read(tmp_path, colour="grey").x[0], luma, atol=1)


def test_sixteen_bits_a_pixel_become_eight(tmp_path):
    save(tmp_path, "a/1.png", GREY.astype(np.uint16) * 257)
    save(tmp_path, "b/1.png", GREY)
    np.testing.assert_array_equal(read(tmp_path).x[0, ..., 0], GREY)


def test_images_get_the_size_that_is_asked_for(tmp_path):
    save(tmp_path, "a/1.png", np.full((20, 40), 7, np.uint8))
    save(tmp_path, "b/1.png", np.full((9, 8), 9, np.uint8))
    with pytest.raises(DataError, match=r"b/1\.png: is 9x8, and 1\.png 20x40: write one size for"):
        read(tmp_path)
    source = read(tmp_path, size=[4, 6])
    np.testing.assert_array_equal(source.x[..., 0], [np.full((4, 6), 7), np.full((4, 6), 9)])
    assert read(tmp_path, size=5).x.shape == (2, 5, 5, 1)


def test_folders_named_by_splits_are_the_splits(tmp_path):
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for number in range(count):
            save(tmp_path, f"{split}/a/{number}.png", GREY)
            save(tmp_path, f"{split}/b/{number}.png", GREY + 9)
    data = load_data(section(), tmp_path, None)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [6, 4, 2]
    assert load_data(section(data={"test": 0}), tmp_path, None).test is None
    assert inspect_data(section(), tmp_path, None).seen == (
        "t: images of 2 classes (a, b), 6 to train, 4 to validate, 2 to test, first 2x3"
    )
    save(tmp_path, "val/c/1.png", GREY)
    with pytest.raises(DataError, match=r"val/c: is a class that no image of .*train has: correct"):
        load_data(section(), tmp_path, None)


def test_the_cache_knows_the_class_of_an_image_by_its_folder(tmp_path):
    for number in range(6):
        save(tmp_path, f"{'ab'[number % 2]}/{number}.png", GREY + number)
    cache = DataCache(tmp_path / "cache")
    spec = section(data={"test": 0, "validation": 2})
    before = load_data(spec, tmp_path, None, cache)
    (tmp_path / "t" / "a").rename(tmp_path / "t" / "c")
    assert (before.classes, load_data(spec, tmp_path, None, cache).classes) == (
        ("a", "b"),
        ("b", "c"),
    )


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n"]
)
def test_a_broken_image_is_refused_in_a_line(tmp_path, content):
    save(tmp_path, "a/1.png", GREY)
    save(tmp_path, "b/1.png", GREY)
    (tmp_path / "t" / "b" / "1.png").write_bytes(content)
    with pytest.raises(
        DataError, match=r"b/1\.png: is no image, or damaged \(.*\): correct it"
    ) as e:
        read(tmp_path)
    assert "\n" not in str(e.value)


def test_a_truncated_image_is_refused(tmp_path):
    save(tmp_path, "a/1.png", np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8))
    path = tmp_path / "t" / "a" / "1.png"
    save(tmp_path, "b/1.png", np.zeros((50, 50), np.uint8))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"a/1\.png: is no image, or damaged"):
        read(tmp_path)


def test_images_of_very_many_pixels_are_refused(tmp_path, monkeypatch):
    save(tmp_path, "a/1.png", np.zeros((300, 300), np.uint8))
    save(tmp_path, "b/1.png", np.zeros((300, 300), np.uint8))
    monkeypatch.setattr(images, "_ALWAYS_READ", 1000)
    with pytest.raises(DataError, match=r"unpack to 180,000 pixels, far more than photographs of"):
        read(tmp_path)
    monkeypatch.setattr(images, "_MOST_PIXELS", 1000)
    with pytest.raises(DataError, match=r"a/1\.png: is 300x300, more than 0 million pixels: make"):
        read(tmp_path)


def test_a_folder_without_classes_is_refused(tmp_path):
    save(tmp_path, "a/1.png", GREY)
    with pytest.raises(DataError, match=r"t: holds 1 folder with images, and each class needs one"):
        read(tmp_path)
