"""Downloads data sets that are too large to come with a package."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hpo.errors import DataError

Opener = Callable[[str], AbstractContextManager[BinaryIO]]

_CHUNK_BYTES = 1 << 18
_TIMEOUT_SECONDS = 30


class RemoteFile(NamedTuple):
    """A file of a download: its name, its size and its checksum."""

    name: str
    size_bytes: int
    sha256: str


class Download(NamedTuple):
    """A data set on the network: its files lie below `address`."""

    address: str
    files: tuple[RemoteFile, ...]


DOWNLOADS: dict[str, Download] = {
    "california_housing": Download(  # Pace and Barry 1997 (StatLib), in the public domain
        "https://raw.githubusercontent.com/ageron/handson-ml/master/datasets/housing/",
        (
            RemoteFile(
                "housing.csv",
                1423529,
                "8a3727f4cf54ac1a327f69b1d5b4db54c5834ea81c6e4efc0d163300022a685e",
            ),
        ),
    ),
    "etth1": Download(  # Zhou et al. 2021, CC BY-ND 4.0
        "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/",
        (
            RemoteFile(
                "ETTh1.csv",
                2589657,
                "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            ),
        ),
    ),
    "fashion_mnist": Download(  # Xiao, Rasul and Vollgraf 2017, MIT licence
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (
            RemoteFile(
                "train-images-idx3-ubyte.gz",
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            RemoteFile(
                "train-labels-idx1-ubyte.gz",
                29515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            RemoteFile(
                "t10k-images-idx3-ubyte.gz",
                4422102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte.gz",
                5148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
    ),
    "mammography": Download(  # Woods et al. 1993
        "https://raw.githubusercontent.com/jbrownlee/Datasets/master/",
        (
            RemoteFile(
                "mammography.csv",
                827904,
                "7d3dea3f075f30bbdbb8980e7725684059b4fe3d0f850fadd0f635f6993d8730",
            ),
        ),
    ),
    "mnist": Download(  # LeCun, Cortes and Burges 1998
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        (
            RemoteFile(
                "train-images-idx3-ubyte.gz",
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            RemoteFile(
                "train-labels-idx1-ubyte.gz",
                28881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            RemoteFile(
                "t10k-images-idx3-ubyte.gz",
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte.gz",
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    ),
    "pima_diabetes": Download(  # Smith et al. 1988
        "https://raw.githubusercontent.com/jbrownlee/Datasets/master/",
        (
            RemoteFile(
                "pima-indians-diabetes.csv",
                23278,
                "6bfe5d0f379d17a0e0819b996407e3c09bf80febd4287f2ed212190dfff154af",
            ),
        ),
    ),
    "sst2": Download(  # Socher et al. 2013, Stanford Sentiment Treebank, whole sentences
        "https://raw.githubusercontent.com/clairett/pytorch-sentiment-classification/master/data/SST2/",
        (
            RemoteFile(
                "train.tsv",
                720259,
                "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920",
            ),
        ),
    ),
    "waimai": Download(  # ChineseNlpCorpus: reviews of meals that were delivered
        "https://raw.githubusercontent.com/SophonPlus/ChineseNlpCorpus/master/datasets/waimai_10k/",
        (
            RemoteFile(
                "waimai_10k.csv",
                919380,
                "b8b5c11c00b51578d35937fca56e03a126b45381f1ea4b22893237cb377a26fe",
            ),
        ),
    ),
    "tiny_shakespeare": Download(  # Karpathy 2015; the text is in the public domain
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
        (
            RemoteFile(
                "input.txt",
                1115394,
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
    ),
}


def _open_url(url: str) -> AbstractContextManager[BinaryIO]:
    return urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS)  # type: ignore[no-any-return]


def fetch_dataset(
    name: str,
    home: Path,
    *,
    opener: Opener = _open_url,
    progress: Callable[[int, int], None] = lambda done_bytes, total_bytes: None,
) -> Path:
    """Download the files of a data set into `home/name`, but for those that are already there.

    `progress` gets the bytes so far and in total.

    Raises:
        DataError: if the name is unknown, the network or the folder fails, or a checksum differs.
            Finished files stay.
    """
    if name not in DOWNLOADS:
        raise DataError(
            f"no download is known for '{name}'. Known names: {', '.join(sorted(DOWNLOADS))}."
        )
    address, files = DOWNLOADS[name]
    folder = home / name
    total_bytes = sum(file.size_bytes for file in files)
    done_bytes = 0

    def count(new_bytes: int) -> None:
        nonlocal done_bytes
        done_bytes += new_bytes
        progress(done_bytes, total_bytes)

    for file in files:
        path = folder / file.name
        if _is_right(path, file):
            count(file.size_bytes)
        else:
            _fetch(address + file.name, path, file, opener, count)
    return folder


def clear_downloads(home: Path) -> tuple[list[str], int]:
    """Delete what `fetch_dataset` has written: the names of the data sets, and the bytes.

    A file of other contents stays, and so does every other file.
    """
    names, total_bytes = [], 0
    for name, download in DOWNLOADS.items():
        folder = home / name
        own = [file for file in download.files if _is_right(folder / file.name, file)]
        for file in own:
            (folder / file.name).unlink()
            total_bytes += file.size_bytes
        if own:
            names.append(name)
            if not any(folder.iterdir()):
                folder.rmdir()
    return names, total_bytes


def _is_right(path: Path, file: RemoteFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def _fetch(
    url: str, path: Path, file: RemoteFile, opener: Opener, count: Callable[[int], None]
) -> None:
    """Write the file under a temporary name, check it, then rename it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        out = unfinished.open("wb")
    except OSError as error:
        raise DataError(f"{path.parent}: cannot be written: {error.strerror}.") from None
    try:
        with out:
            digest = _copy(url, path, file.size_bytes, out, opener, count)
        if digest != file.sha256:
            raise DataError(
                f"{url}: the downloaded file is not the expected one (its SHA-256 starts with "
                f"{digest[:12]}, not {file.sha256[:12]}): try again later, or put the right file "
                f"at {path}."
            )
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _copy(
    url: str,
    path: Path,
    most_bytes: int,
    out: BinaryIO,
    opener: Opener,
    count: Callable[[int], None],
) -> str:
    """Copy the file at `url` into `out`; its SHA-256. `path` is for the message.

    Raises:
        DataError: if the network fails, or sends more than `most_bytes`.
    """
    digest, left_bytes = hashlib.sha256(), most_bytes
    try:
        with opener(url) as response:
            while chunk := response.read(_CHUNK_BYTES):
                left_bytes -= len(chunk)
                if left_bytes < 0:
                    raise DataError(
                        f"{url}: is larger than the {most_bytes:,} bytes of the expected file: try"
                        f" again later, or put the right file at {path}."
                    )
                out.write(chunk)
                digest.update(chunk)
                count(len(chunk))
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{url}: cannot be downloaded ({reason}): check the network and try again, or put the "
            f"file at {path} by hand."
        ) from None
    return digest.hexdigest()
