"""A folder of images: a folder for each class, below folders for each split if there are some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hpo.data.head import Head
from hpo.data.source import Source
from hpo.errors import DataError, cut
from hpo.spec.sections.data import DataSpec, ImageFolder
from hpo.spec.words import count_text

if TYPE_CHECKING:
    import numpy as np

# Formats that are decoded by Pillow alone: others start programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_SUFFIXES = (*(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),)
_SPLITS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
_MOST_PIXELS = 64 << 20  # of one image
# All pixels together, and for each byte of the files: photographs have about 1 to 10.
_ALWAYS_READ, _MOST_PIXELS_OF_A_BYTE = 1 << 30, 100

Labelled = list[tuple[Path, int]]


def read_images(folder: Path, spec: DataSpec) -> Source:
    """The examples of `data.dataset: {images: ...}`.

    Raises:
        DataError: for a folder without classes, and for images that are broken or differ in size.
    """
    import numpy as np

    dataset = spec.dataset
    assert isinstance(dataset, ImageFolder)
    classes, splits = _splits(folder, with_test=spec.test != 0)
    height, width, is_grey = _shape(splits, dataset)
    sources = {}
    for name, images in splits.items():
        labels = np.array([label for _, label in images], np.int32)
        x = _pixels(images, height, width, is_grey)
        sources[name] = Source(
            x=x, y=labels, target=f"{folder}: the folders of classes", classes=classes
        )
    return replace(sources["train"], validation=sources.get("validation"), test=sources.get("test"))


def files(folder: Path) -> list[Path]:
    """The images in the folder and in those below it, sorted by their paths."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in _SUFFIXES and file.is_file()
    ]


def read_pixels(images: Sequence[Path], shape: tuple[int, ...], *, is_resized: bool) -> np.ndarray:
    """The pixels of images `[N, height, width, channels]`, in a shape `[height, width, channels]`.

    Raises:
        DataError: for an image that is broken, or of another size unless it `is_resized`.
    """
    height, width, channels = shape
    for path in () if is_resized else images:
        (size,), _ = _heads([path])
        if size != (height, width):
            raise DataError(
                f"{path}: is {size[0]}x{size[1]}, and the model was trained on images of "
                f"{height}x{width}: make it that size."
            )
    return _pixels([(path, 0) for path in images], height, width, channels == 1)


def head(folder: Path, spec: DataSpec) -> Head:
    """The classes, how many images there are, and the size of the first one.

    Raises:
        DataError: for a folder without classes, and for a first image that is broken.
    """
    classes, splits = _splits(folder, with_test=spec.test != 0)
    first = splits["train"][0][0]
    with _opened(first) as image:
        size = f"{image.height}x{image.width}"
    counts = [f"{len(images):,} to {_VERBS[name]}" for name, images in splits.items()]
    named = f"{len(classes):,} classes ({cut(', '.join(classes), 80)})"
    return Head(f"{spec.dataset.images}: images of {named}, {', '.join(counts)}, first {size}")


_VERBS = {"train": "train", "validation": "validate", "test": "test"}


class FolderLook(NamedTuple):
    """The images of each class that train, and the sizes of some of them."""

    classes: dict[str, int]
    sizes: list[tuple[int, int]]
    is_grey: bool
    has_test: bool


def look_at_folder(folder: Path, count: int) -> FolderLook:
    """What the names in a folder say, and the heads of at most `count` images.

    Raises:
        DataError: for a folder without classes, or a broken image.
    """
    classes, splits = _splits(folder, with_test=True)
    counts = Counter(label for _, label in splits["train"])
    step = max(1, len(splits["train"]) // count)
    sizes, are_grey = _heads(path for path, _ in splits["train"][::step])
    return FolderLook(
        {name: counts[place] for place, name in enumerate(classes)},
        sizes,
        are_grey,
        "test" in splits,
    )


def _splits(folder: Path, *, with_test: bool) -> tuple[tuple[str, ...], dict[str, Labelled]]:
    """The names of the classes, and the images of each split with the number of their class."""
    places = {"train": folder}
    if (folder / "train").is_dir():
        places = {
            name: folder / one
            for name, known in _SPLITS.items()
            for one in known
            if (folder / one).is_dir() and (name != "test" or with_test)
        }
    found = {name: _by_class(place) for name, place in places.items()}
    classes = tuple(found["train"])
    if len(classes) < 2:
        raise DataError(
            f"{places['train']}: holds {count_text(len(classes), 'folder')} with images, and each "
            f"class needs one: make a folder for each class, with files such as {_SUFFIXES[0]}."
        )
    for name, images in found.items():
        unknown = [one for one in images if one not in classes]
        if unknown:
            raise DataError(
                f"{places[name] / unknown[0]}: is a class that no image of {places['train']} has: "
                "correct its name, or add images to train on."
            )
    return classes, {
        name: [(file, classes.index(one)) for one, some in images.items() for file in some]
        for name, images in found.items()
        if images
    }


def _by_class(folder: Path) -> dict[str, list[Path]]:
    """The images of each class that has some, in the order of the names."""
    places = [one for one in sorted(folder.iterdir()) if one.is_dir()]
    found = {one.name: files(one) for one in places if not one.name.startswith(".")}
    return {name: images for name, images in found.items() if images}


def _shape(splits: Mapping[str, Labelled], dataset: ImageFolder) -> tuple[int, int, bool]:
    """The height and width of all images, and whether they have a grey channel alone."""
    paths = [path for images in splits.values() for path, _ in images]
    sizes, are_grey = _heads(paths)
    is_grey = are_grey if dataset.colour == "auto" else dataset.colour == "grey"
    if dataset.size is not None:
        size = dataset.size
        return (*((size, size) if isinstance(size, int) else size), is_grey)
    other = next((n for n, size in enumerate(sizes) if size != sizes[0]), None)
    if other is not None:
        raise DataError(
            f"{paths[other]}: is {sizes[other][0]}x{sizes[other][1]}, and {paths[0].name} "
            f"{sizes[0][0]}x{sizes[0][1]}: write one size for all in data.dataset, such as size: "
            "32."
        )
    pixels = len(paths) * sizes[0][0] * sizes[0][1]
    most = max(_ALWAYS_READ, _MOST_PIXELS_OF_A_BYTE * sum(path.stat().st_size for path in paths))
    if pixels > most:
        raise DataError(
            f"{paths[0].parent.parent}: its images unpack to {pixels:,} pixels, far more than "
            "photographs of that many bytes: write a smaller size in data.dataset."
        )
    return (*sizes[0], is_grey)


def _heads(paths: Iterable[Path]) -> tuple[list[tuple[int, int]], bool]:
    """The height and width of each image, and whether all are grey."""
    sizes, are_grey = [], True
    for path in paths:
        with _opened(path) as image:
            sizes.append((image.height, image.width))
            are_grey &= image.mode in ("1", "L", "LA") or image.mode.startswith("I")
    return sizes, are_grey


def _pixels(
    images: Sequence[tuple[Path, int]], height: int, width: int, is_grey: bool
) -> np.ndarray:
    """The pixels of images, uint8 `[N, height, width, channels]`."""
    import numpy as np
    from PIL import Image

    from hpo.data import mapped

    x = mapped.empty((len(images), height, width, 1 if is_grey else 3), np.uint8)
    for row, (path, _) in enumerate(images):
        with _opened(path) as image:
            if image.mode.startswith("I;16"):  # 65535 is white, which Pillow would cut to 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            plain = image.convert("L" if is_grey else "RGB")
            if plain.size != (width, height):
                plain = plain.resize((width, height), Image.Resampling.BILINEAR)
            x[row] = np.asarray(plain).reshape(height, width, -1)
    return x


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An image, of which only the head is read so far.

    Raises:
        DataError: for a file that is no image, or a broken or very large one.
    """
    try:
        from PIL import Image
    except ImportError:
        raise DataError(
            "images need Pillow, which is not installed: run `pip install 'hpo-lanes[images]'`."
        ) from None
    try:
        with path.open("rb") as stream, Image.open(stream, formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise DataError(
                    f"{path}: is {image.height}x{image.width}, more than {_MOST_PIXELS >> 20} "
                    "million pixels: make it smaller."
                )
            yield image
    except DataError:
        raise
    except Exception as error:  # decoders raise errors of every kind for damaged files
        why = cut(" ".join(str(error).split()) or type(error).__name__, 200)
        raise DataError(
            f"{path}: is no image, or damaged ({why}): correct it, or remove it."
        ) from None
