"""Broken data files: `hpo check` and the reader read them, or refuse them in one line.

Both get the same files: a CSV table, a folder of IDX files or a file of another format, broken in
one to three ways.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.campaign.attempts import Try
from tests.campaign.forked import batch, effort_trouble, run_here, trouble

PROMISE = "broken data: read, or one line"
BATCH = 25

CELLS = (
    *("", " ", "NA", "nan", "inf", "-inf", "1e308", "1e309", "-1e-310", "1e-5000", "0x10", "1_000"),
    *(
        "1,5",
        "½",
        "٣",
        "1 ",
        " 1",
        "+1",
        "--1",
        "1e",
        "true",
        "None",
        "#N/A",
        "=1+1",
        "a" * 100_000,
    ),
    *(
        '"',
        '""',
        '"a',
        'a"b',
        "'",
        "a;b",
        "a\tb",
        "\x00",
        "\x1b[2J",
        "\u202e",
        "🙂",
        "\ufeff",
        "\r",
    ),
    *("9" * 400, "-" + "9" * 400, "2026-02-30", "12:30", "\\", "\\N", "\u2028", "é"),
    *(
        "0001-01-01",
        "9999-12-31 23:59",
        "03/04/2024",
        "2024-01-31T10:00+02:00",
        "validation",
        "YES",
    ),
)
# What the sound cells of a column are.
KINDS = (
    ("0.5", "12", "-3", "7", "red", ""),
    ("0.5", "12", "-3", "1e9", ""),
    ("1", "2", "3"),
    ("red", "blue", "a longer text of words", ""),
    ("2024-01-31", "2024-02-29", "2023-12-01 18:30", ""),
    ("yes", "No", "1", ""),
    ("train", "validation", "test"),
    ("",),
)
ODD_NAMES = ("a b", "a.b", "a:b", "self", "5", "y.1", "é", "[x]")
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

Files = dict[str, bytes]


def attempt(place: Path, rng: random.Random, number: int) -> Iterator[Try]:
    """Try a batch of broken data sets in one forked copy of this process."""
    kinds = rng.choices((_table, _images, _other), (5, 3, 2), k=BATCH)
    mutants = [kind(rng) for kind in kinds]
    cases = [partial(_checked, place, *mutant) for mutant in mutants]
    for index, ended in enumerate(batch(place, cases)):
        found = effort_trouble(ended) or trouble(ended)
        if found:
            kept = place.parent / f"data-{number}-{index}"
            _write(kept, *mutants[index])
            found += f" [{kept.name}]"
        yield Try(PROMISE, found)


def _checked(place: Path, data: dict[str, Any], files: Files) -> None:
    """Read the head as `hpo check` does, and then the whole as a search does."""
    from hpo.data.load import check_batch_size, load_data
    from hpo.errors import HpoError
    from hpo.spec.load import load_experiment

    folder = place / "case"
    shutil.rmtree(folder, ignore_errors=True)
    _write(folder, data, files)
    is_refused = False
    try:
        run_here(["check", str(folder / "spec.yaml")])
    except SystemExit as ended:
        if ended.code != 2:
            raise
        is_refused = True
    try:
        spec = load_experiment(folder / "spec.yaml").training.data
        check_batch_size(spec, load_data(spec, folder, None))
    except HpoError as error:
        if not is_refused:
            print(error, file=sys.stderr)
        is_refused = True
    if is_refused:
        raise SystemExit(2)


def _write(folder: Path, data: dict[str, Any], files: Files) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    document = {
        "name": "broken",
        "data": {**data, "batch_size": 4},
        "model": {"name": "mlp"},
        "optimizer": {"name": "sgd"},
        "train": {"epochs": 1},
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(document))


def _table(rng: random.Random) -> tuple[dict[str, Any], Files]:
    width, height = rng.choice([1, 2, 3, 5]), rng.choice([0, 1, 2, 5, 30, 300])
    names = [f"c{i}" for i in range(width)] + ["y"]
    if rng.random() < 0.2:
        names[-2] = rng.choice(ODD_NAMES)
    kinds = [rng.choice(KINDS) for _ in range(width)]
    kinds.append(rng.choice([("a", "b", "c"), ("a", "b", "c"), ("0", "1"), ("0.5", "2", "3.25")]))
    rows = [[*names], *([rng.choice(kind) for kind in kinds] for _ in range(height))]
    for _ in range(rng.randint(0, 4)):
        row = rng.choice(rows)
        if row:
            row[rng.randrange(len(row))] = rng.choice(CELLS)
    if rng.random() < 0.3:
        row = rng.choice(rows)
        rng.choice([row.clear, lambda: row.append("more"), lambda: row.extend("x" * 3_000)])()
    separator = rng.choice([",", ",", ",", ";", "\t", "|"])
    text = rng.choice(["\n", "\n", "\r\n", "\r"]).join(separator.join(row) for row in rows)
    encoding = rng.choice(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"])
    content = _broken(text.encode(encoding, "replace"), rng)
    dataset: dict[str, Any] = {
        "csv": "t.csv",
        "target": rng.choice(["y", "y", "y", "y", "c0", "nowhere", ["y", "c0"], ["y", "y"]]),
    }
    if rng.random() < 0.8:
        dataset["separator"] = separator
    if rng.random() < 0.5:
        dataset["encoding"] = rng.choice([encoding, encoding, "gbk", "utf-7", "idna", "hex"])
    options: list[tuple[str, Any]] = [
        ("header", False),
        ("header", True),
        ("skip", rng.choice([0, 1, 2, 10**9])),
        ("missing", rng.choice([["red"], ["?", -999], [""], ["a" * 500]])),
        ("drop_rows", {"missing_target": True, "duplicates": rng.random() < 0.5}),
        ("drop", rng.choice([["c0"], ["c0", "c1"], ["y"], ["nowhere"]])),
        ("weight", rng.choice(["c0", "y", "nowhere"])),
        ("task", rng.choice(["classification", "regression", "counts", "multilabel"])),
    ]
    dataset |= dict(rng.sample(options, rng.choice([0, 0, 1, 2])))
    if dataset.get("header") is False and rng.random() < 0.7:
        dataset["target"] = f"column_{width + 1}"
    files = {"t.csv": content}
    if rng.random() < 0.25:
        dataset["csv"] = "t.csv.gz"
        packed = gzip.compress(content, 1, mtime=0) * rng.choice([1, 1, 2])
        files = {"t.csv.gz": _broken(packed, rng) if rng.random() < 0.5 else packed}
    return {"dataset": dataset, **_treatment(rng, names[:-1])}, files


def _treatment(rng: random.Random, names: list[str]) -> dict[str, Any]:
    """What a spec says of the columns, the splits and the classes of a table; often nothing."""
    name = rng.choice([*names, *names, "y", "nowhere"])
    gap = rng.choice([0, 3, 10**30, "12h", "7d", "99999999d", "1e300d"])
    splits = [
        {"group": name},
        {"group": name, "feature": True},
        {"time": name},
        {"time": name, "gap": gap},
        {"time": name, "gap": gap, "feature": True},
        {"column": name},
    ]
    by_name = {rng.choice(names): _column(rng) for _ in range(rng.choice([0, 1, 1, 3]))}
    columns = {key: value for key, value in _column(rng).items() if key in _OF_ALL}
    options: list[tuple[str, Any]] = [
        ("split", rng.choice(splits)),
        ("columns", columns | {"by_name": by_name}),
        ("columns", {"by_name": by_name}),
        ("class_weight", "balanced"),
        ("normalize", rng.choice(["none", "minmax"])),
        ("test", rng.choice([0, 0.5, 3])),
        ("rows", rng.choice([4, 20])),
    ]
    return dict(rng.sample(options, rng.choice([0, 1, 1, 2, 3])))


_OF_ALL = ("impute", "constant", "flag", "encode", "buckets", "smoothing", "transform")


def _column(rng: random.Random) -> dict[str, Any]:
    """How a column becomes features."""
    options: list[tuple[str, Any]] = [
        ("type", rng.choice(["category", "boolean", "date", "text"])),
        ("type", rng.choice(["category", "boolean", "date", "text"])),
        ("drop", True),
        ("impute", rng.choice(["median", "mean", "most_frequent", "constant"])),
        ("constant", rng.choice([0, -999.5, 1e30, 1e300])),
        ("flag", True),
        ("encode", rng.choice(["one_hot", "ordinal", "target", "hashing"])),
        ("buckets", rng.choice([1, 7, 64])),
        ("smoothing", rng.choice(["auto", 0, 1e300])),
        ("transform", rng.choice(["log", "quantile"])),
        ("features", rng.choice([1, 1000])),
    ]
    return dict(rng.sample(options, rng.choice([1, 2, 3, 5])))


def _images(rng: random.Random) -> tuple[dict[str, Any], Files]:
    height, width = rng.choice([1, 3, 8]), rng.choice([1, 4])
    files: Files = {}
    for images, labels in (IDX_NAMES[:2], IDX_NAMES[2:]):
        count = rng.choice([1, 12, 60])
        files[images] = struct.pack(">4I", 0x803, count, height, width)
        files[images] += rng.randbytes(count * height * width)
        files[labels] = struct.pack(">2I", 0x801, count) + bytes(rng.choices(range(3), k=count))
    if rng.random() < 0.4:
        del files[IDX_NAMES[2]], files[IDX_NAMES[3]]
    for _ in range(rng.randint(1, 2)):
        name = rng.choice(sorted(files))
        content, kind = files.pop(name), rng.randrange(5)
        if kind == 0:
            files[name] = _broken(content, rng)
        elif kind == 1:  # a number of the header is something else
            at = 4 * rng.randrange(2 if "labels" in name else 4)
            value = rng.choice([0, 1, 2**31, 2**32 - 1, 0x803, 0x801, 0xD03, 61])
            files[name] = content[:at] + struct.pack(">I", value) + content[at + 4 :]
        elif kind == 2:
            files[f"{name}.gz"] = _broken(gzip.compress(content, mtime=0), rng)
        elif kind == 3:
            files[name] = files[f"{name}.gz"] = content
        if not files:
            break
    data: dict[str, Any] = {"dataset": {"idx": "."}}
    if rng.random() < 0.2:
        data |= _treatment(rng, ["c0"])
    return data, files


def _other(rng: random.Random) -> tuple[dict[str, Any], Files]:
    """A file of a format that says of what type its cells are, or images by class."""
    rows = rng.choice([1, 5, 30])
    cells: list[Any] = [0, 1.5, None, True, "red", "", 10**30, float("inf"), [1], {"a": 1}]
    columns = {
        name: rng.choices(rng.sample(cells, rng.choice([1, 1, 2, 3])), k=rows) for name in "ab"
    }
    columns["y"] = rng.choices(rng.choice([["u", "v"], [0, 1], [0.5, 2.5]]), k=rows)
    kind = rng.choice(["jsonl", "npz", "parquet", "arrow", "images"])
    name = f"t.{kind}"
    dataset: dict[str, Any] = {kind: name}
    if kind == "images":
        names = [f"{name}/{label}/{number}.png" for label in "ab" for number in range(4)]
        files = {one: _png(rng) for one in names}
        files[names[0]] = _broken(files[names[0]], rng)
        return {"dataset": dataset}, files
    if kind == "npz":
        return {"dataset": dataset}, {name: _broken(_npz(columns, rng), rng)}
    if kind == "jsonl":
        lines = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        content = "\n".join(map(json.dumps, lines)).encode()
    else:
        content = _columnar(kind, columns)
    dataset["target"] = rng.choice(["y", "y", "a", "nowhere"])
    return {"dataset": dataset, **_treatment(rng, ["a", "b"])}, {name: _broken(content, rng)}


def _columnar(kind: str, columns: dict[str, list[Any]]) -> bytes:
    """A Parquet or an Arrow file of the columns that Arrow has a type for; empty without Arrow."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        return b""
    arrays = {}
    for name, cells in columns.items():
        try:
            arrays[name] = pa.array(cells)
        except (pa.ArrowException, OverflowError):
            arrays[name] = pa.array([str(cell) for cell in cells])
    table, sink = pa.table(arrays), pa.BufferOutputStream()
    if kind == "parquet":
        parquet.write_table(table, sink)
    else:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _npz(columns: dict[str, list[Any]], rng: random.Random) -> bytes:
    import numpy as np

    rows, content = len(columns["y"]), io.BytesIO()
    arrays = {
        "x": rng.choice([np.ones((rows, 2)), np.array(columns["a"], object), np.zeros(rows)]),
        "y": np.array(columns["y"]),
    }
    np.savez(content, **arrays)
    return content.getvalue()


def _png(rng: random.Random) -> bytes:
    """A grey image, written without Pillow: a chunk each of head, pixels and end."""
    side = rng.choice([4, 4, 4, 5])
    pixels = zlib.compress(b"".join(b"\0" + rng.randbytes(side) for _ in range(side)))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", pixels)]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in (*chunks, (b"IEND", b"")):
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        data += struct.pack(">I", len(body)) + kind + body + checksum
    return data


def _broken(content: bytes, rng: random.Random) -> bytes:
    """Bytes with one part damaged, or as they are."""
    at = rng.randrange(len(content) + 1)
    return rng.choice(DAMAGES)(content, at, rng)


DAMAGES: tuple[Callable[[bytes, int, random.Random], bytes], ...] = (
    lambda content, at, rng: content,
    lambda content, at, rng: content,
    lambda content, at, rng: content[:at],
    lambda content, at, rng: content[at:],
    lambda content, at, rng: content[:at] + rng.randbytes(9) + content[at:],
    lambda content, at, rng: content[:at] + b"\x00" * 20 + content[at + 20 :],
    lambda content, at, rng: content[:at] + b'"' + content[at:],
    lambda content, at, rng: content + content,
    lambda content, at, rng: b"",
    lambda content, at, rng: b"\x1f\x8b\x08" + content,
    lambda content, at, rng: content[:at] + b"\n" * 5_000 + content[at:],
    lambda content, at, rng: (
        gzip.compress(bytes(300 * 2**20), 1, mtime=0) if rng.random() < 0.1 else content
    ),
)
